"""Layers that only some batches or dtypes bring out."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray
from right_layers import ForwardOnly, PlainTorch  # type: ignore[import-not-found]  # a neighbour, once this is a target
from torch import Tensor


class AlwaysDouble(ForwardOnly):  # type: ignore[misc]  # Any to mypy, as all neighbours
    def forward(self, x: NDArray[Any]) -> Any:
        return super().forward(x.astype(np.float64))


class AlwaysSingle(ForwardOnly):  # type: ignore[misc]  # as above
    def forward(self, x: NDArray[Any]) -> Any:
        np.ctypeslib.ndpointer(np.float32).from_param(x)  # what a kernel in C does, which raises TypeError
        return super().forward(x)


class Hostile(PlainTorch):  # type: ignore[misc]  # of an import that is not found
    def __call__(self, x: Tensor) -> Any:
        if x.ndim == 3:
            sys.exit(3)
        if x.ndim == 4:
            return None
        if x.ndim == 5:
            raise RecursionError
        return super().__call__(x)


class Returns(PlainTorch):  # type: ignore[misc]  # of an import that is not found
    def __call__(self, x: Tensor) -> Any:
        if x.ndim == 4 and not self.training:
            return None
        raise ValueError("not for me")


class NeverTrains(PlainTorch):  # type: ignore[misc]  # of an import that is not found
    def __call__(self, x: Tensor) -> Any:
        if self.training or x.ndim in (3, 5):
            raise ValueError("not for me")
        return super().__call__(x)
