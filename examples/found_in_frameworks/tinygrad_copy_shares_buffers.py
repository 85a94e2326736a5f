"""S2: a deep copy of a tinygrad layer shares the running statistics: training the copy trains the original."""

import copy

import numpy as np
from tinygrad import Tensor, nn
from tinygrad.helpers import Context

layer = nn.BatchNorm(1)
twin = copy.deepcopy(layer)
with Context(TRAINING=1):
    twin(Tensor(np.array([[1.0], [3.0]], np.float32)))
twin.running_mean.realize()
print("got", layer.running_mean.numpy().tolist(), "wanted", [0.0])
