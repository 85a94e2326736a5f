"""Right NumPy layers by other roads: other orders of summation and other formulas for the same variance."""

from __future__ import annotations

import numpy as np

from bnspec.mutants.numpy_base import Array, BatchNorm


class Welford(BatchNorm):
    """One value at a time: the mean moves by d/k, the sum of squares grows by d d' (Welford 1962)."""

    def statistics(self, values: Array) -> tuple[Array, Array]:
        mean, squares = np.zeros_like(values[:, 0]), np.zeros_like(values[:, 0])
        for k, value in enumerate(values.T, start=1):
            before = value - mean
            mean = mean + before / k
            squares = squares + before * (value - mean)
        return mean, squares / values.shape[1]


class ChanMerge(BatchNorm):
    """Chunks of 1, 2, 3, ... values, each with its own mean and squares, merged pair by pair (Chan et al. 1983)."""

    def statistics(self, values: Array) -> tuple[Array, Array]:
        m, start, size = values.shape[1], 0, 1
        mean, squares = np.zeros_like(values[:, 0]), np.zeros_like(values[:, 0])
        while start < m:
            chunk = values[:, start : start + size]
            count, own = chunk.shape[1], chunk.mean(axis=1)
            gap, total = own - mean, start + count
            squares = squares + ((chunk - own[:, None]) ** 2).sum(axis=1) + gap**2 * (start * count / total)
            mean = mean + gap * (count / total)
            start, size = total, size + 1
        return mean, squares / m


class ShiftedByFirst(BatchNorm):
    """One pass over the distances from each channel's first value."""

    def statistics(self, values: Array) -> tuple[Array, Array]:
        shift = values[:, 0]
        mean, square = self.moments(values - shift[:, None])
        return shift + mean, np.maximum(square - mean**2, 0)

    def moments(self, distance: Array) -> tuple[Array, Array]:
        m = distance.shape[1]
        return self.total(distance) / m, self.total(distance**2) / m


class Textbook(BatchNorm):
    """E[x^2] - E[x]^2 in one pass, clamped at zero."""

    def statistics(self, values: Array) -> tuple[Array, Array]:
        m = values.shape[1]
        mean = self.total(values) / m
        return mean, np.maximum(self.total(values**2) / m - mean**2, 0)


class SequentialSums(BatchNorm):
    """Every sum from the first value to the last, one addition after the other."""

    def total(self, values: Array) -> Array:
        return np.asarray(np.cumsum(values, axis=1)[:, -1:].sum(axis=1))


class ReversedSums(BatchNorm):
    """Every sum from the last value to the first."""

    def total(self, values: Array) -> Array:
        return np.asarray(np.cumsum(values[:, ::-1], axis=1)[:, -1:].sum(axis=1))


class Increments(BatchNorm):
    """running += momentum (value - running) instead of the blend of two products."""

    def blend(self, running: Array, value: Array) -> Array:
        return np.asarray(running + self.momentum * (value - running)).astype(running.dtype)


class DoubleInside(BatchNorm):
    """Everything in float64, rounded once at the end."""

    def forward(self, x: Array) -> Array:
        self.check(x)
        return super().forward(x.astype(np.float64)).astype(x.dtype)

    def read(self, dy: Array) -> Array:
        return super().read(dy.astype(np.float64))
