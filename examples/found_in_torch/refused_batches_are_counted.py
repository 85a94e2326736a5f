"""B9: a batch that training refuses is counted, and weighs in the plain average of momentum=None."""

import torch

layer = torch.nn.BatchNorm1d(3, momentum=None)
try:
    layer(torch.zeros(1, 3))
except ValueError as error:
    print("refused:", error)
print("got", int(layer.num_batches_tracked), "batches, wanted 0")
