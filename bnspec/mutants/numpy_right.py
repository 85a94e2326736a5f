"""Right NumPy layers by other roads: other orders of summation and other formulas for the same variance."""

from __future__ import annotations

import numpy as np

from bnspec.mutants.numpy_base import Array, BatchNorm, Cache


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


class Pairwise(BatchNorm):
    """Every sum by halves, down to single values."""

    def total(self, values: Array) -> Array:
        m = values.shape[1]
        if m <= 1:
            return np.asarray(values.sum(axis=1))
        return np.asarray(self.total(values[:, : m // 2]) + self.total(values[:, m // 2 :]))


class Compensated(BatchNorm):
    """Sums of blocks of 64, added up with what each addition loses (Kahan 1965)."""

    def total(self, values: Array) -> Array:
        total, lost = np.zeros_like(values, shape=len(values)), np.zeros_like(values, shape=len(values))
        for start in range(0, values.shape[1], 64):
            term = values[:, start : start + 64].sum(axis=1) - lost
            larger = total + term
            lost, total = (larger - total) - term, larger
        return total


class CorrectedTwoPass(BatchNorm):
    """Two passes; mean and variance are corrected by what the residuals sum to (Chan et al. 1983)."""

    def statistics(self, values: Array) -> tuple[Array, Array]:
        m = values.shape[1]
        mean = self.total(values) / m
        residual = values - mean[:, None]
        rest = self.total(residual) / m
        return mean + rest, np.maximum(self.total(residual**2) / m - rest**2, 0)


class PaperBackward(BatchNorm):
    """The derivation of the paper: first by xhat, then by variance and mean (Ioffe & Szegedy 2015, section 3)."""

    def dx(self, g: Array, cache: Cache) -> Array:
        if not cache.coupled:
            return super().dx(g, cache)
        m, centred = g.shape[1], cache.xhat / cache.rstd
        dxhat = g * cache.gamma
        dvar = -self.total(dxhat * centred)[:, None] * cache.rstd**3 / 2
        dmean = -self.total(dxhat)[:, None] * cache.rstd
        return np.asarray(dxhat * cache.rstd + 2 * dvar * centred / m + dmean / m)


class EinsteinSums(BatchNorm):
    """Sums and products in one primitive."""

    def total(self, values: Array) -> Array:
        return np.asarray(np.einsum("cm->c", values))

    def sum_dgamma(self, g: Array, cache: Cache) -> Array:
        return np.asarray(np.einsum("cm,cm->c", g, cache.xhat))


class ReturnsAllGradients(BatchNorm):
    """backward returns (dx, dgamma, dbeta), as some courses have it."""

    def backward(self, dy: Array) -> tuple[Array, Array, Array]:  # type: ignore[override]  # another shape of the same
        dx = super().backward(dy)
        return dx, self.dgamma, self.dbeta
