"""A right batch norm in NumPy, of the shape that courses teach, cut into small steps: a wrong one overrides one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Array = NDArray[Any]


def to_rows(x: Array) -> Array:
    """(N, C, D1, ...) -> (C, m), in float32 at least."""
    wide = np.promote_types(x.dtype, np.float32)
    return np.ascontiguousarray(np.moveaxis(x, 1, 0)).reshape(x.shape[1], -1).astype(wide)


def from_rows(values: Array, like: Array) -> Array:
    """(C, m) -> shape and dtype of the batch `like`."""
    moved = values.reshape(like.shape[1], like.shape[0], *like.shape[2:])
    return np.ascontiguousarray(np.moveaxis(moved, 0, 1)).astype(like.dtype)


@dataclass(frozen=True)
class Cache:
    """What a forward keeps for its backward: xhat as (C, m), the rest per channel as (C, 1).

    `coupled` says whether mean and rstd are functions of x.
    """

    xhat: Array
    mean: Array
    rstd: Array
    gamma: Array
    coupled: bool


class BatchNorm:
    """Two passes over the batch; conventions of `torch.nn.BatchNorm*`, ranks 2 to 5, one cached forward.

    Raises ValueError for a wrong rank or channel count and for one value per channel in training, TypeError for a batch
    that is not floating point.
    """

    bnspec_ranks = (2, 3, 4, 5)

    def __init__(
        self, num_features: int, momentum: float = 0.1, eps: float = 1e-5, dtype: DTypeLike = np.float32
    ) -> None:
        self.momentum, self.eps, self.training = momentum, eps, True
        self.gamma, self.beta = np.ones(num_features, dtype), np.zeros(num_features, dtype)
        self.running_mean, self.running_var = np.zeros(num_features, dtype), np.ones(num_features, dtype)
        self.dgamma, self.dbeta = np.zeros(num_features, dtype), np.zeros(num_features, dtype)

    def forward(self, x: Array) -> Array:
        """y in the shape and dtype of x; in training the running statistics are updated."""
        self.check(x)
        values = to_rows(x)
        coupled = self.training and x.size > 0  # an empty batch has no statistics
        if coupled:
            mean, var = self.statistics(values)
            self.update(mean, var, values.shape[1])
        else:
            mean, var = self.evaluation_statistics(values)
        rstd = self.rstd(var)
        xhat = (values - mean[:, None]) * rstd[:, None]
        self.cache = Cache(xhat, mean[:, None], rstd[:, None], self.gamma[:, None].copy(), coupled)
        return from_rows(self.scale_and_shift(xhat), x)

    def __call__(self, x: Array) -> Array:
        return self.forward(x)

    def check(self, x: Array) -> None:
        channels = len(self.gamma)
        if x.ndim not in self.bnspec_ranks or x.shape[1] != channels:
            raise ValueError(f"expected (N, {channels}, ...) of rank 2 to 5, got {x.shape}")
        if x.dtype.kind in "biuc":
            raise TypeError(f"expected a floating-point batch, got {x.dtype}")
        if self.training and x.size == channels:
            raise ValueError(f"expected more than one value per channel in training, got {x.shape}")

    def statistics(self, values: Array) -> tuple[Array, Array]:
        """Mean and biased variance of (C, m) along m."""
        m = values.shape[1]
        mean = self.total(values) / m
        return mean, self.total((values - mean[:, None]) ** 2) / m

    def evaluation_statistics(self, values: Array) -> tuple[Array, Array]:
        return self.running_mean.astype(values.dtype), self.running_var.astype(values.dtype)

    def total(self, values: Array) -> Array:
        """(C, m) -> (C,)."""
        return np.asarray(values.sum(axis=1))

    def rstd(self, var: Array) -> Array:
        return np.asarray(1 / np.sqrt(var + self.eps))

    def scale_and_shift(self, xhat: Array) -> Array:
        return np.asarray(xhat * self.gamma[:, None] + self.beta[:, None])

    def update(self, mean: Array, var: Array, m: int) -> None:
        self.running_mean = self.blend(self.running_mean, mean)
        self.running_var = self.blend(self.running_var, self.stored_variance(var, m))

    def stored_variance(self, var: Array, m: int) -> Array:
        return var * (m / (m - 1))

    def blend(self, running: Array, value: Array) -> Array:
        new = (1 - self.momentum) * running.astype(value.dtype) + self.momentum * value
        return np.asarray(new).astype(running.dtype)

    def backward(self, dy: Array) -> Array:
        """dx in the shape and dtype of dy; leaves dgamma and dbeta, shape (C,), as attributes."""
        g, cache = self.read(dy), self.cache
        dgamma, dbeta = self.sum_dgamma(g, cache), self.sum_dbeta(g)
        self.dgamma, self.dbeta = dgamma.astype(self.gamma.dtype), dbeta.astype(self.beta.dtype)
        return from_rows(self.dx(g, cache), dy)

    def read(self, dy: Array) -> Array:
        return to_rows(dy)

    def sum_dgamma(self, g: Array, cache: Cache) -> Array:
        return self.total(g * cache.xhat)

    def sum_dbeta(self, g: Array) -> Array:
        return self.total(g)

    def dx(self, g: Array, cache: Cache) -> Array:
        scale = cache.gamma * cache.rstd
        if not cache.coupled:
            return np.asarray(g * scale)
        along_xhat = self.total(g * cache.xhat) / self.divisor(g)
        return np.asarray((g - self.total(g)[:, None] / g.shape[1] - cache.xhat * along_xhat[:, None]) * scale)

    def divisor(self, g: Array) -> int:
        """m of the term along xhat: K in the specification's G1."""
        return int(g.shape[1])
