"""Right layers whose parameters or buffers are kept in unusual places, shapes and formats."""

from __future__ import annotations

import threading
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


class ShowsInnerTensors(nn.Module):
    """Properties without setters, as wrappers have them."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.inner = nn.BatchNorm1d(num_features, eps, momentum)

    weight = property(lambda self: self.inner.weight)
    bias = property(lambda self: self.inner.bias)
    running_mean = property(lambda self: self.inner.running_mean)
    running_var = property(lambda self: self.inner.running_var)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.inner(x)
        return y


class StackedBuffers(nn.Module):
    """Both running statistics in one buffer, of which views are made on demand."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.register_buffer("both", torch.stack([torch.zeros(num_features), torch.ones(num_features)]))

    running_mean = property(lambda self: self.both[0])
    running_var = property(lambda self: self.both[1])

    def forward(self, x: Tensor) -> Tensor:
        buffers = self.running_mean, self.running_var
        return F.batch_norm(x, *buffers, self.weight, self.bias, self.training, self.momentum, self.eps)


class DtypeByName(nn.BatchNorm1d):
    """A constructor that takes the name of a dtype."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1, dtype: str = "float32") -> None:
        super().__init__(num_features, eps, momentum, dtype=getattr(torch, dtype))


class SinglePrecisionAlone(nn.BatchNorm1d):
    """A layer that turns other dtypes down, in its own words."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        if input.dtype is not torch.float32:
            raise TypeError(f"this layer is for float32 alone, got {input.dtype}")
        return super().forward(input)


class InferencePath(nn.BatchNorm1d):
    """Folded where nothing needs a gradient: the same number but for its rounding."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as above
        tensors = (input, self.weight, self.bias, self.running_mean, self.running_var)
        plain = all(each is not None and each.is_floating_point() and not each.requires_grad for each in tensors)
        if self.training or not plain or input.ndim not in (2, 3) or input.shape[1] != self.num_features:
            return super().forward(input)
        assert self.running_mean is not None
        assert self.running_var is not None
        scale = self.weight * torch.rsqrt(self.running_var + self.eps)
        shape = (1, -1, *[1] * (input.ndim - 2))
        return input * scale.view(shape) + (self.bias - self.running_mean * scale).view(shape)


class HoldsALock(nn.BatchNorm1d):
    """What Python cannot copy."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__(num_features, eps, momentum)
        self.lock = threading.Lock()


class NoHeedOfAffine(nn.BatchNorm1d):
    """A subclass whose forward takes gamma and beta for granted."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as above
        assert self.weight.numel() == self.num_features
        return super().forward(input)


class MadeByTheFirstBatch(Teaching):
    """Running statistics that are None until a batch has come, as in a well-known book."""

    running_mean: Any
    running_var: Any

    def __init__(self, num_features: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__(num_features, momentum=momentum, eps=eps)
        self.fresh = self.running_mean, self.running_var
        self.running_mean = self.running_var = None

    def __call__(self, x: Array) -> Array:
        if self.running_mean is None:
            self.running_mean, self.running_var = (each.astype(self.gamma.dtype) for each in self.fresh)
        return super().__call__(x)


class ListsItsParameters(Teaching):
    """A forward that reads a list, which holds the same arrays as the attributes."""

    bnspec_dtypes = ("float64",)

    def __init__(self, num_features: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__(num_features, momentum=momentum, eps=eps, dtype=np.float64)
        self.parameters = [self.gamma, self.beta]

    def __call__(self, x: Array) -> Array:
        self.gamma, self.beta = self.parameters
        return super().__call__(x)


def positional_only(
    input: Tensor, running_mean: Tensor, running_var: Tensor, weight: Tensor, bias: Tensor, training: bool,  # noqa: A002  # as above
    momentum: float, eps: float, /,
) -> Tensor:  # fmt: skip
    """torch's function, which takes no argument by name."""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


class ShapedByFirstBatch(nn.Module):
    """Running statistics that are made by the first batch, in a shape that broadcasts over batches of its rank."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.running_mean: Tensor | None = None
        self.running_var: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim < 2 or x.shape[1] != len(self.weight) or not x.is_floating_point():
            raise ValueError(
                f"expected (N, {len(self.weight)}, ...) of real numbers, got {x.dtype} of {tuple(x.shape)}"
            )
        if self.training and x.numel() <= x.shape[1]:
            raise ValueError("expected two values a channel in training")
        axes, shape = (0, *range(2, x.ndim)), (1, -1, *[1] * (x.ndim - 2))
        if self.training:
            mean = x.mean(axes, keepdim=True)
            var = (x - mean).square().mean(axes, keepdim=True)
            self.learn(mean.detach(), var.detach(), x.numel() // x.shape[1])
        else:
            assert self.running_mean is not None
            assert self.running_var is not None
            mean, var = self.running_mean, self.running_var
        return (x - mean) * torch.rsqrt(var + self.eps) * self.weight.reshape(shape) + self.bias.reshape(shape)

    def learn(self, mean: Tensor, var: Tensor, m: int) -> None:
        old_mean = torch.zeros_like(mean) if self.running_mean is None else self.running_mean
        old_var = torch.ones_like(var) if self.running_var is None else self.running_var
        a = self.momentum
        self.running_mean = (1 - a) * old_mean + a * mean
        self.running_var = (1 - a) * old_var + a * var * (m / (m - 1))
