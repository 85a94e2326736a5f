"""Wrong NumPy layers: what arrays tempt to, in layouts, sizes, dtypes, caches and input."""

# ruff: noqa: D101  (what is wrong with each stands in the tables of bnspec/mutants)

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from bnspec.mutants.numpy_base import Array, BatchNorm, Cache, from_rows


# ---- layouts and sizes
class RavelledInEvaluation(BatchNorm):
    def forward(self, x: Array) -> Array:
        return super().forward(x if self.training else x.ravel(order="K").reshape(x.shape))


class CleanedInPlace(BatchNorm):
    def forward(self, x: Array) -> Array:
        return super().forward(np.nan_to_num(x, copy=False))


class StridedBuffersCopied(BatchNorm):
    def update(self, mean: Array, var: Array, m: int) -> None:
        for name, value in (("running_mean", mean), ("running_var", self.stored_variance(var, m))):
            running = np.ascontiguousarray(getattr(self, name))
            running[...] = self.blend(running, value)


class CountInSixteenBits(BatchNorm):
    def statistics(self, values: Array) -> tuple[Array, Array]:
        m = values.shape[1] % 2**16 or 1
        mean = self.total(values) / m
        return mean, self.total((values - mean[:, None]) ** 2) / m


# ---- caches
class FirstCacheKept(BatchNorm):
    first: Cache | None = None

    def backward(self, dy: Array) -> Array:
        self.first = self.first or self.cache
        if self.first.xhat.shape == self.cache.xhat.shape and self.cache.coupled:
            self.cache = replace(self.cache, xhat=self.first.xhat)
        return super().backward(dy)


class GradientsAddUp(BatchNorm):
    def backward(self, dy: Array) -> Array:
        before = self.dgamma, self.dbeta
        dx = super().backward(dy)
        self.dgamma, self.dbeta = self.dgamma + before[0], self.dbeta + before[1]
        return dx


class OutputPreallocated(BatchNorm):
    place: Array | None = None

    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        if self.place is None or self.place.shape != y.shape or self.place.dtype != y.dtype:
            self.place = np.empty_like(y)
        self.place[...] = y
        return self.place


class ModeOfTheBackward(BatchNorm):
    def dx(self, g: Array, cache: Cache) -> Array:
        return super().dx(g, replace(cache, coupled=self.training))


class BuffersOfTheClass(BatchNorm):
    buffers: ClassVar[dict[tuple[int, str], tuple[Array, Array]]] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        key = len(self.gamma), self.gamma.dtype.str
        self.running_mean, self.running_var = self.buffers.setdefault(key, (self.running_mean, self.running_var))

    def update(self, mean: Array, var: Array, m: int) -> None:
        self.running_mean[...] = self.blend(self.running_mean, mean)
        self.running_var[...] = self.blend(self.running_var, self.stored_variance(var, m))


# ---- precision
class SummedInStorage(BatchNorm):
    bnspec_dtypes = ("float32", "float64", "float16")

    """Sums run in the dtype of the batch, one value after the other."""

    def forward(self, x: Array) -> Array:
        self.storage = x.dtype
        return super().forward(x)

    def total(self, values: Array) -> Array:
        if np.can_cast(np.float32, self.storage):
            return super().total(values)
        with np.errstate(all="ignore"):
            return np.asarray(np.add.accumulate(values.astype(self.storage), axis=1)[:, -1]).astype(values.dtype)


class ConstantsInSingle(BatchNorm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.eps, self.momentum = float(np.float32(self.eps)), float(np.float32(self.momentum))


# ---- input
class IntegersTruncated(BatchNorm):
    def check(self, x: Array) -> None:
        super().check(x.astype(np.float64) if x.dtype.kind in "iu" else x)


class OneChannelBroadcast(BatchNorm):
    def forward(self, x: Array) -> Array:
        channels = len(self.gamma)
        return super().forward(np.repeat(x, channels, axis=1) if x.ndim > 1 and x.shape[1] == 1 else x)


class EmptyBatchAveraged(BatchNorm):
    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        if self.training and x.size == 0:
            nothing = np.full_like(self.running_mean, np.nan)
            self.running_mean, self.running_var = nothing, (1 - self.momentum) * self.running_var
        return y


class OneValueReturned(BatchNorm):
    def forward(self, x: Array) -> Array:
        one = self.training and x.ndim > 1 and x.size == x.shape[1] == len(self.gamma)
        return from_rows(self.beta[:, None], x) if one else super().forward(x)
