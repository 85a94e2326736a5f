"""NumPy layers that take complex numbers, by the squared distance from the mean and otherwise."""

from __future__ import annotations

from typing import Any

import numpy as np


class Plain:
    """As many write it down: var() of NumPy is the mean of |x - mu|^2."""

    bnspec_dialect, bnspec_eps, bnspec_momentum = "flax", 1e-5, 0.9
    bnspec_dtypes = ("float64", "float32")
    bnspec_without = ("gradients",)

    def __init__(self, num_features: int, dtype: Any = np.float64) -> None:
        self.gamma, self.beta = np.ones(num_features, dtype), np.zeros(num_features, dtype)
        self.running_mean, self.running_var = np.zeros(num_features, dtype), np.ones(num_features, dtype)
        self.training = True

    def __call__(self, x: Any) -> Any:
        shape = (1, -1, *[1] * (x.ndim - 2))
        if x.ndim < 2 or x.shape[1] != len(self.gamma):
            raise ValueError(f"a batch of {len(self.gamma)} channels is wanted, and x has the shape {x.shape}")
        x = x if x.dtype.kind in "fc" else x.astype(self.gamma.dtype)
        mean, var = self.running_mean, self.running_var
        if self.training:
            mean, var = self.take_statistics(x, (0, *range(2, x.ndim)))
            kept = self.gamma.dtype.type
            self.running_mean = (0.9 * self.running_mean + (1 - 0.9) * mean.real).astype(kept)
            self.running_var = (0.9 * self.running_var + (1 - 0.9) * var.real).astype(kept)
        xhat = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + 1e-5)
        return xhat * self.gamma.reshape(shape) + self.beta.reshape(shape)

    def take_statistics(self, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
        return x.mean(axes), x.var(axes)


class Squares(Plain):
    """The square and not the squared size of what is complex."""

    def take_statistics(self, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
        mean = x.mean(axes, keepdims=True)
        return x.mean(axes), ((x - mean) ** 2).mean(axes)


class RealVariance(Plain):
    """The variance of the real part divides both."""

    def take_statistics(self, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
        return x.mean(axes), x.real.var(axes)


class RealMean(Plain):
    """The mean of the real part is taken off both."""

    def take_statistics(self, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
        return x.real.mean(axes), x.var(axes)


class SquaresOneByOne(Plain):
    """E|x|^2 - |mu|^2, by hypot."""

    def take_statistics(self, x: Any, axes: tuple[int, ...]) -> tuple[Any, Any]:
        mean = x.mean(axes)
        return mean, np.maximum((np.abs(x) ** 2).mean(axes) - np.abs(mean) ** 2, 0)


class Lost(Plain):
    """The imaginary part gets lost at the end."""

    def __call__(self, x: Any) -> Any:
        return super().__call__(x).real
