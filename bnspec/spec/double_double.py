"""Double-double arithmetic on NumPy arrays: the fallback where numpy-quaddtype has no wheel.

A number is the unevaluated sum of two float64. Algorithms: Dekker 1971 (split, product), Knuth TAOCP 2, 4.2.2
(two-sum), Hida, Li & Bailey 2001 (the composed operations). It has the exponent range of float64: products overflow
beyond about 1e300 and lose their low word below about 1e-290.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_SPLITTER = 2.0**27 + 1.0


def _two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    total = a + b
    t = total - a
    return total, (a - (total - t)) + (b - t)


def _quick_two_sum(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    total = a + b
    return total, b - (total - a)


def _split(a: Floats) -> tuple[Floats, Floats]:
    t = _SPLITTER * a
    high = t - (t - a)
    return high, a - high


def _two_product(a: Floats, b: Floats) -> tuple[Floats, Floats]:
    product = a * b
    a_high, a_low = _split(a)
    b_high, b_low = _split(b)
    return product, ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low


class DoubleDouble:
    """An array of double-doubles with the operators that the equations use."""

    __slots__ = ("high", "low")
    __array_ufunc__ = None  # so that NumPy arrays on the left hand the operation over

    def __init__(self, high: Any, low: Any = None) -> None:
        self.high: Floats = np.asarray(high, dtype=np.float64)
        self.low: Floats = np.zeros_like(self.high) if low is None else low

    @classmethod
    def of(cls, value: Any) -> DoubleDouble:
        return value if isinstance(value, DoubleDouble) else cls(np.asarray(value).astype(np.float64))

    @property
    def shape(self) -> tuple[int, ...]:
        return self.high.shape

    def __getitem__(self, key: Any) -> DoubleDouble:
        return DoubleDouble(self.high[key], self.low[key])

    def __add__(self, other: Any) -> DoubleDouble:
        b = DoubleDouble.of(other)
        s, e = _two_sum(self.high, b.high)
        t, f = _two_sum(self.low, b.low)
        s, e = _quick_two_sum(s, e + t)
        return DoubleDouble(*_quick_two_sum(s, e + f))

    def __neg__(self) -> DoubleDouble:
        return DoubleDouble(-self.high, -self.low)

    def __sub__(self, other: Any) -> DoubleDouble:
        return self + (-DoubleDouble.of(other))

    def __mul__(self, other: Any) -> DoubleDouble:
        b = DoubleDouble.of(other)
        p, e = _two_product(self.high, b.high)
        return DoubleDouble(*_quick_two_sum(p, e + (self.high * b.low + self.low * b.high)))

    def __truediv__(self, other: Any) -> DoubleDouble:
        b = DoubleDouble.of(other)
        first = DoubleDouble(self.high / b.high)
        rest = self - first * b
        second = DoubleDouble(rest.high / b.high)
        rest = rest - second * b
        return first + second + DoubleDouble(rest.high / b.high)

    __radd__ = __add__
    __rmul__ = __mul__

    def __rsub__(self, other: Any) -> DoubleDouble:
        return DoubleDouble.of(other) - self

    def __rtruediv__(self, other: Any) -> DoubleDouble:
        return DoubleDouble.of(other) / self

    def __abs__(self) -> DoubleDouble:
        negative = self.high < 0
        return DoubleDouble(np.where(negative, -self.high, self.high), np.where(negative, -self.low, self.low))

    def sqrt(self) -> DoubleDouble:
        root = np.sqrt(self.high)
        rest = self - DoubleDouble(root) * DoubleDouble(root)
        positive = root > 0
        correction = np.where(positive, rest.high / np.where(positive, 2.0 * root, 1.0), 0.0)
        return DoubleDouble(root) + DoubleDouble(correction)

    def sum(self, axis: int) -> DoubleDouble:
        """Sum over `axis` of an array of rank 2, pairwise."""
        rest = self if axis == 1 else DoubleDouble(self.high.T, self.low.T)
        while rest.shape[1] > 1:
            half = rest.shape[1] // 2
            odd = rest[:, 2 * half :]
            rest = rest[:, :half] + rest[:, half : 2 * half]
            rest = DoubleDouble(np.concatenate([rest.high, odd.high], 1), np.concatenate([rest.low, odd.low], 1))
        return rest[:, 0]
