"""B1: mlx takes one channel for three, and gives three."""

import mlx.core as mx
from mlx.nn import BatchNorm

print("got", list(BatchNorm(3)(mx.array([[1.0], [2.0], [4.0], [8.0]])).shape), "wanted", "an error")
