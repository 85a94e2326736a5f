"""The batch norm that this project grew from, kept with its defects: a subject that the suite has to tell apart.

It behaves, bit for bit, as the BatchNorm1d of the seed notebook, a class in the manner of Karpathy's makemore
lectures (part 3, 2022). It trains a small network well; each line that goes wrong elsewhere says so. `torch_batchnorm`
is the same layer without these defects.
"""

from __future__ import annotations

import torch
from torch import Tensor


class BatchNorm1d:
    """Normalises a batch (N, C), and other shapes by accident; raises nothing of its own."""

    # The suite reads this from the class, so that this file need not import it.
    bnspec_dialect = "makemore"

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        # Defect: plain tensors, requires_grad is left to the caller, and there is no way to another device or dtype.
        self.gamma, self.beta = torch.ones(dim), torch.zeros(dim)
        self.running_mean, self.running_var = torch.zeros(dim), torch.ones(dim)
        self.momentum, self.eps = momentum, eps
        self.training = True

    def __call__(self, x: Tensor) -> Tensor:
        # Defect: no shape is checked; one channel is broadcast to many, and any rank is taken as it comes.
        mean, var = self._batch_statistics(x) if self.training else (self.running_mean, self.running_var)
        # Defect: the output stays referenced, and its graph with it.
        self.out = self.gamma * ((x - mean) / torch.sqrt(var + self.eps)) + self.beta
        if self.training:
            # Defect: the statistics still carry their graph, so each update links the buffers to one more batch.
            self.running_mean = self._blend(self.running_mean, mean)
            # Defect: keepdim turns both buffers from (C,) into (1, C).
            self.running_var = self._blend(self.running_var, var)
        return self.out

    def parameters(self) -> tuple[Tensor, Tensor]:
        return self.gamma, self.beta

    def _batch_statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # Defect: axis 0 alone is averaged over; further axes become features of their own.
        mean = x.mean(dim=0, keepdim=True)
        # Departure: var() divides by N - 1 where Ioffe & Szegedy divide by N. Defect: a batch of one gives NaN.
        return mean, x.var(dim=0, keepdim=True)

    def _blend(self, old: Tensor, new: Tensor) -> Tensor:
        # Defect: a NaN that got in once never leaves.
        return (1 - self.momentum) * old + self.momentum * new
