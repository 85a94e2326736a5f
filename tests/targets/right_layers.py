"""Right batch norms, in every shape that needs no adapter of its own."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from bnspec.reference.numpy_batchnorm import BatchNorm as Teaching
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[Any]


class PlainTorch:
    """torch.nn's attributes in a plain object of torch functions; neither dtype nor device in the constructor."""

    def __init__(self, num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        self.eps, self.momentum, self.training = eps, momentum, True
        self.weight, self.bias = torch.ones(num_features), torch.zeros(num_features)
        self.running_mean, self.running_var = torch.zeros(num_features), torch.ones(num_features)
        self.num_batches_tracked = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.num_batches_tracked += self.training
        buffers = self.running_mean, self.running_var
        return F.batch_norm(x, *buffers, self.weight, self.bias, self.training, self.momentum, self.eps)


class HandsOn(nn.BatchNorm1d):
    """A subclass whose signature names nothing."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)


def factory(size: int, *, epsilon: float, momentum: float = 0.1, affine: bool = True) -> nn.Module:
    return nn.BatchNorm1d(size, epsilon, momentum, affine)


def functional(
    x: Tensor, gamma: Tensor, beta: Tensor, running_mean: Tensor, running_var: Tensor, *, training: bool, eps: float
) -> Tensor:
    return F.batch_norm(x, running_mean, running_var, gamma, beta, training, 0.25, eps)


def without_momentum(dim: int, eps: float) -> PlainTorch:
    return PlainTorch(dim, eps)


functional.bnspec_momentum = 0.25  # type: ignore[attr-defined]  # declared as users declare it


class TeachingTriple(Teaching):  # type: ignore[misc]  # see pyproject.toml: mypy checks it by another name
    """backward gives everything at once."""

    def backward(self, dy: Array) -> tuple[Array, ...]:
        dx = super().backward(dy)
        return dx, self.__dict__.pop("dgamma"), self.__dict__.pop("dbeta")


class ForwardOnly:
    """Not callable, train() and eval() for the mode, and no dtype in the constructor."""

    def __init__(self, channels: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        self._inner = Teaching(channels, momentum, eps)
        self.gamma, self.beta = self._inner.gamma, self._inner.beta
        self.running_mean, self.running_var = self._inner.running_mean, self._inner.running_var

    def train(self) -> None:
        self._inner.training = True

    def eval(self) -> None:
        self._inner.training = False

    def forward(self, x: Array) -> Array:
        for name in ("gamma", "beta", "running_mean", "running_var"):
            setattr(self._inner, name, getattr(self, name))
        y: Array = self._inner(x)
        self.running_mean, self.running_var = self._inner.running_mean, self._inner.running_var
        return y

    def backward(self, dy: Array) -> Array:
        dx: Array = self._inner.backward(dy)
        self.dgamma, self.dbeta = self._inner.dgamma, self._inner.dbeta
        return dx
