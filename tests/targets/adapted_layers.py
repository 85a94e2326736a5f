"""Layers of functional make, and a foreign one that only an adapter of another package knows."""

from __future__ import annotations

import copy
import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from reference.numpy_batchnorm import BatchNorm

Gradients = tuple[Any, Any, Any]
IMPORTED_IN = os.getpid()


class Functional(BatchNorm):
    """Every forward gives its own backward."""

    bnspec_versions: Mapping[str, str] = {"functional": "1.2"}

    def vjp(self, x: Any) -> tuple[Any, Callable[[Any], Gradients]]:
        y = self(x)
        return y, functools.partial(answer, copy.deepcopy(self))

    backward: Any = None


class NoFork(Functional):
    """As of a framework whose threads a fork leaves behind: whoever calls it in one waits in vain."""

    bnspec_forks = False

    def __call__(self, x: Any) -> Any:
        if os.getpid() != IMPORTED_IN:
            os._exit(3)
        return super().__call__(x)


class OneCache(Functional):
    """Every backward is that of the latest forward."""

    def vjp(self, x: Any) -> tuple[Any, Callable[[Any], Gradients]]:
        return self(x), functools.partial(answer, self)


def answer(layer: BatchNorm, dy: Any) -> Gradients:
    """The gradients of the forward whose cache the layer holds."""
    dx = BatchNorm.backward(layer, dy)
    return dx, layer.dgamma, layer.dbeta


class Foreign:
    """A description without arrays, the channel last, whose statistics go in and come out: no shape that is known."""

    def __init__(self, width: int, decay: float = 0.9) -> None:
        self.width, self.decay = width, decay

    def apply(self, x: Any, statistics: dict[str, Any], train: bool) -> tuple[Any, dict[str, Any]]:
        """y and the new statistics, without scale and shift."""
        axes = tuple(range(x.ndim - 1))
        mean, var = (x.mean(axes), x.var(axes)) if train else (statistics["mean"], statistics["var"])
        if train:
            new = {"mean": mean, "var": var}
            statistics = {k: self.decay * v + (1 - self.decay) * new[k] for k, v in statistics.items()}
        return (x - mean) / np.sqrt(var + 1e-5), statistics


class Adapted:
    """What an adapter makes of it: some twenty lines."""

    bnspec_dialect, bnspec_eps = "flax", 1e-5
    bnspec_dtypes = ("float64",)
    bnspec_without = ("gradients", "affine")
    training = True

    def __init__(self, features: int, decay: float = 0.9, num_dims: int = 2) -> None:
        self.running_mean, self.running_var = np.zeros(features), np.ones(features)
        self._layer, self._rank = Foreign(features, decay), num_dims

    def __call__(self, x: Any) -> Any:
        if x.shape[1] != self._layer.width or x.ndim != self._rank or x.dtype.kind == "c":
            raise ValueError(f"{x.shape} of {x.dtype}: a batch of {self._layer.width} channels is wanted")
        statistics = {"mean": self.running_mean, "var": self.running_var}
        y, found = self._layer.apply(np.moveaxis(x, 1, -1), statistics, self.training)
        self.running_mean, self.running_var = found["mean"], found["var"]
        return np.moveaxis(y, -1, 1)


def adapt(obj: Any) -> Any:
    """Registered as an entry point: the class for its own kind of layer, None for any other."""
    return Adapted if obj is Foreign else None


def fail(_obj: Any) -> Any:
    """An adapter at fault."""
    raise ZeroDivisionError("of its own")
