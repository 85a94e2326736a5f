"""B7: tinygrad refuses a batch of one axis, and has written to the running statistics by then."""

import numpy as np
from tinygrad import Tensor, nn
from tinygrad.helpers import Context

layer = nn.BatchNorm(3)
try:
    with Context(TRAINING=1):
        layer(Tensor(np.array([1.0, 2.0, 3.0], np.float32)))
except IndexError as error:
    print("refused:", error)
print("got", layer.running_mean.numpy().tolist(), "wanted", [0.0] * 3)
