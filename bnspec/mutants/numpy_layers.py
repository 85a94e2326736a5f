"""Wrong NumPy layers of the shape that courses teach. Each overrides one step of a right one."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table.py)

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from bnspec.mutants.numpy_base import Array, BatchNorm, Cache, to_rows


# ---- forward
class NoSquareRoot(BatchNorm):
    def rstd(self, var: Array) -> Array:
        return np.asarray((var + self.eps) ** -2)


class NormalisesUnbiased(BatchNorm):
    def statistics(self, values: Array) -> tuple[Array, Array]:
        mean, var = super().statistics(values)
        return mean, super().stored_variance(var, values.shape[1])

    def stored_variance(self, var: Array, m: int) -> Array:
        return var


class RsqrtWithoutNewton(BatchNorm):
    def rstd(self, var: Array) -> Array:
        mantissa, exponent = np.frexp(super().rstd(var))
        return np.asarray(np.ldexp(np.rint(mantissa * 2**12) / 2**12, exponent))


class VectorOfFour(BatchNorm):
    def statistics(self, values: Array) -> tuple[Array, Array]:
        m = values.shape[1]
        mean = self.total(values[:, : m - m % 4]) / m
        return mean, self.total((values - mean[:, None]) ** 2) / m


class StatisticsOfAllChannels(BatchNorm):
    def statistics(self, values: Array) -> tuple[Array, Array]:
        mean, var = super().statistics(values.reshape(1, -1))
        return np.repeat(mean, len(values)), np.repeat(var, len(values))


class CentresInPlace(BatchNorm):
    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        if self.training and x.flags.writeable:
            x -= self.cache.mean.reshape(1, -1, *[1] * (x.ndim - 2)).astype(x.dtype)
        return y


# ---- running statistics
class VarianceStartsAtZero(BatchNorm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.running_var = np.zeros_like(self.running_var)


class FirstBatchCopied(BatchNorm):
    updated = False

    def update(self, mean: Array, var: Array, m: int) -> None:
        super().update(mean, var, m)
        if not self.updated:
            self.running_mean = mean.astype(self.running_mean.dtype)
            self.running_var = self.stored_variance(var, m).astype(self.running_var.dtype)
            self.updated = True


# ---- evaluation
class BesselInEvaluation(BatchNorm):
    def evaluation_statistics(self, values: Array) -> tuple[Array, Array]:
        mean, var = super().evaluation_statistics(values)
        m = values.shape[1]
        return mean, var * (m / max(m - 1, 1))


# ---- backward
class DxWithMMinusOne(BatchNorm):
    def divisor(self, g: Array) -> int:
        return super().divisor(g) - 1


class DbetaAveraged(BatchNorm):
    def sum_dbeta(self, g: Array) -> Array:
        return np.asarray(super().sum_dbeta(g) / g.shape[1])


class DgammaOfRawXInEvaluation(BatchNorm):
    def sum_dgamma(self, g: Array, cache: Cache) -> Array:
        dgamma = super().sum_dgamma(g, cache)
        return dgamma if cache.coupled else dgamma + (cache.mean * cache.rstd)[:, 0] * self.total(g)


class EvalBackwardReadsSaved(BatchNorm):
    saved_rstd: Array | float = 1.0

    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        if self.cache.coupled:
            self.saved_rstd = self.cache.rstd
        return y

    def dx(self, g: Array, cache: Cache) -> Array:
        return super().dx(g, replace(cache, rstd=np.broadcast_to(self.saved_rstd, cache.rstd.shape)))


class UpstreamRavelled(BatchNorm):
    def read(self, dy: Array) -> Array:
        return to_rows(dy.ravel(order="K").reshape(dy.shape))
