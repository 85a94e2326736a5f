"""Right layers whose parameters or buffers are kept in unusual places, shapes and formats."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from numpy.typing import NDArray
from torch import Tensor, nn

from bnspec.mutants.numpy_base import BatchNorm as Teaching

Array = NDArray[Any]


class Columns(nn.Module):
    """Parameters and buffers of shape (1, C, 1, 1), as they broadcast."""

    bnspec_ranks = (4,)
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        column = (1, num_features, 1, 1)
        self.weight, self.bias = nn.Parameter(torch.ones(column)), nn.Parameter(torch.zeros(column))
        self.register_buffer("running_mean", torch.zeros(column))
        self.register_buffer("running_var", torch.ones(column))

    def forward(self, x: Tensor) -> Tensor:
        buffers = self.running_mean.reshape(-1), self.running_var.reshape(-1)
        parameters = self.weight.reshape(-1), self.bias.reshape(-1)
        return F.batch_norm(x, *buffers, *parameters, self.training, self.momentum, self.eps)


class UnregisteredBuffers(nn.Module):
    """A module whose running statistics are plain attributes."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.running_mean, self.running_var = torch.zeros(num_features), torch.ones(num_features)

    def forward(self, x: Tensor) -> Tensor:
        buffers = self.running_mean, self.running_var
        return F.batch_norm(x, *buffers, self.weight, self.bias, self.training, self.momentum, self.eps)


class Wrapper:
    """A plain object that hands everything on to a module inside."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.inner = nn.BatchNorm1d(num_features, eps, momentum)

    def __getattr__(self, name: str) -> Any:
        if name == "inner":
            raise AttributeError(name)
        return getattr(self.inner, name)

    def __call__(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


class Debiased(Teaching):
    """A zero-debiased average, whose hidden part and count nobody can load."""

    bnspec_dialect = "haiku"

    def __init__(self, num_features: int, momentum: float = 0.99, eps: float = 1e-5) -> None:
        super().__init__(num_features, momentum=momentum, eps=eps)
        self.running_var = np.zeros_like(self.running_var)
        self.hidden, self.steps = (np.zeros(num_features), np.zeros(num_features)), 0

    def update(self, mean: Array, var: Array, m: int) -> None:
        self.steps += 1
        rho, (old_mean, old_var) = self.momentum, self.hidden
        self.hidden = rho * old_mean + (1 - rho) * mean, rho * old_var + (1 - rho) * var
        share, dtype = 1 - rho**self.steps, self.running_mean.dtype
        self.running_mean, self.running_var = ((h / share).astype(dtype) for h in self.hidden)
