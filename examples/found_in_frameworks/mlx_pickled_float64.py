"""S2: an array of mlx in float64 comes back from pickle in float32, and a layer's buffers with it."""

import pickle

import mlx.core as mx
from mlx.nn import BatchNorm

layer = BatchNorm(1)
with mx.stream(mx.cpu):
    layer.running_mean = mx.array([1 / 3], mx.float64)
    copy = pickle.loads(pickle.dumps(layer))
    print("got", str(copy.running_mean.dtype), "wanted", str(layer.running_mean.dtype))
