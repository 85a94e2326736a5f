"""Layers that note what they were called with, in `SEEN`, or overwrite it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Array = NDArray[Any]

SEEN: dict[str, Any] = {}


class Spy:
    """The seed's shape, which notes what it was called with."""

    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        self.momentum, self.eps, self.training = momentum, eps, True
        self.gamma, self.beta = torch.ones(dim), torch.zeros(dim)
        self.running_mean, self.running_var = torch.zeros(dim), torch.ones(dim)

    def __call__(self, x: Tensor) -> Tensor:
        SEEN["x"] = x
        y = x * 1.0
        if y.requires_grad:
            y.register_hook(lambda dy: SEEN.__setitem__("dy", dy))  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return y


class NumpySpy:
    def __init__(self, dim: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        self.momentum, self.eps, self.training = momentum, eps, True
        self.gamma, self.beta, self.running_mean, self.running_var = (
            np.ones(dim),
            np.zeros(dim),
            np.zeros(dim),
            np.ones(dim),
        )

    def __call__(self, x: Array) -> Array:
        SEEN["x"] = x
        return x * 1

    def backward(self, dy: Array) -> tuple[Array, Array, Array]:
        SEEN["dy"] = dy
        return dy * 1, self.gamma, self.beta


class Overwrites(Spy):
    def __call__(self, x: Tensor) -> Tensor:
        self.kept = getattr(self, "kept", torch.zeros_like(x))
        with torch.no_grad():
            x.zero_()
        return self.kept.add_(1)


class NumpyOverwrites(NumpySpy):
    def __call__(self, x: Array) -> Array:
        self.kept = getattr(self, "kept", np.zeros_like(x))
        x[...] = 0
        self.kept += 1
        return self.kept

    def backward(self, dy: Array) -> tuple[Array, Array, Array]:
        dy[...] = 0
        return super().backward(dy)


class Records(Spy):
    def __call__(self, x: Tensor) -> Tensor:
        SEEN["enabled"] = torch.is_grad_enabled()
        return x * 1
