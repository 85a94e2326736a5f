"""B7: flax.nnx refuses one channel for three, and has written to the running statistics by then."""

import numpy as np
from flax import nnx

layer = nnx.BatchNorm(3, rngs=nnx.Rngs(0))
try:
    layer(np.array([[1.0], [2.0]], np.float32))
except TypeError as error:
    print("refused:", str(error).splitlines()[0])
print("got", np.asarray(layer.mean[...]).ravel().tolist(), "wanted", [0.0] * 3)
