"""The arithmetics in which the exact values are computed, and a self-test that catches a broken one.

float64 judges float32 and below: the equations' own error then is at most 2**-29 of the tolerance. float64 subjects are
judged with at least 100 bits: binary128 from numpy-quaddtype where there is a wheel, double-double elsewhere.
Of quaddtype only elementwise + - * /, sqrt, abs and sum(axis=1) are used: its matmul and einsum are unsound in 1.0.0
(numpy/numpy-quaddtype#89, numpy/numpy#32671).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.spec.double_double import DoubleDouble
from bnspec.spec.formats import FLOAT64, Format

Number = Any
"""An array of one of the arithmetics: supports + - * /, indexing by [:, None] and sum(axis=1)."""


class BrokenArithmetic(RuntimeError):
    """The arithmetic fails its self-test: a fault of the installation, never of the subject."""


@dataclass(frozen=True)
class Arithmetic:
    """How to enter (`array`), leave (`float64`) and take roots in an arithmetic of `bits` significant bits."""

    name: str
    bits: int
    array: Callable[[Any], Number]
    sqrt: Callable[[Number], Number]
    float64: Callable[[Number], NDArray[np.float64]]


def _to_float64(a: Any) -> NDArray[np.float64]:
    """Complex numbers, which no batch norm answers a real batch with, are none of these numbers."""
    values = np.asarray(a)
    return np.full(values.shape, np.nan) if values.dtype.kind == "c" else values.astype(np.float64)


def _plain(a: Any) -> Any:
    return a if isinstance(a, DoubleDouble) else _to_float64(a)


DOUBLE = Arithmetic("float64", 53, _to_float64, np.sqrt, lambda a: np.asarray(a, dtype=np.float64))
DOUBLE_DOUBLE = Arithmetic(
    "double-double", 104, lambda a: DoubleDouble.of(_plain(a)), DoubleDouble.sqrt, lambda a: a.high + a.low
)


@cache
def quad() -> Arithmetic | None:
    """binary128, or None where numpy-quaddtype is not installed."""
    try:
        from numpy_quaddtype import QuadPrecDType
    except ImportError:
        return None
    dtype = QuadPrecDType()

    def enter(a: Any) -> Any:
        values = np.asarray(a)
        if values.dtype.kind == "c" or values.dtype.name == "bfloat16":  # which the dtype does not read
            values = _to_float64(values)
        return values.astype(dtype)

    return Arithmetic("binary128", 113, enter, np.sqrt, lambda a: a.astype(np.float64))


@cache
def arithmetic_for(storage: Format) -> Arithmetic:
    """The arithmetic that judges subjects of a storage format, self-tested at first use.

    Raises BrokenArithmetic when the self-test fails.
    """
    chosen = DOUBLE if storage.precision < FLOAT64.precision else quad() or DOUBLE_DOUBLE
    check_arithmetic(chosen)
    return chosen


def check_arithmetic(arithmetic: Arithmetic) -> None:
    """Compare a sum, a product, a quotient and a root with exact fractions; raise BrokenArithmetic if one is off."""
    numbers = [[0.1, 1e16, -3.0, 7e-9], [2.5, -0.3, 1e-8, 1.0]]
    a = arithmetic.array(np.array(numbers))
    exact = [sum(map(Fraction, row), Fraction()) for row in numbers]
    total = a.sum(axis=1)
    one = arithmetic.array(np.ones(2))
    unit = Fraction(16, 2**arithmetic.bits)

    def leave(value: Number) -> list[Fraction]:
        high = arithmetic.float64(value)
        low = arithmetic.float64(value - arithmetic.array(high))
        return [Fraction(float(h)) + Fraction(float(low_)) for h, low_ in zip(high, low, strict=True)]

    product, root = a[:, 0] * a[:, 2], arithmetic.sqrt(a[:, 3])
    checks: list[tuple[str, Number, list[Fraction], list[Fraction] | None]] = [
        ("sum", total, exact, [sum((abs(Fraction(n)) for n in row), Fraction()) for row in numbers]),
        ("product", product, [Fraction(r[0]) * Fraction(r[2]) for r in numbers], None),
        ("quotient", (one / a[:, 2]) * a[:, 2], [Fraction(1)] * 2, None),
        ("root", root * root, [Fraction(r[3]) for r in numbers], None),
    ]
    for name, got, wanted, size in checks:
        for g, w, s in zip(leave(got), wanted, size or [abs(w) for w in wanted], strict=True):
            if abs(g - w) > unit * s:
                raise BrokenArithmetic(
                    f"the {arithmetic.name} arithmetic fails its self-test: a {name} is off by"
                    f" {float(abs(g - w) / s):.1e} relative; reinstall numpy-quaddtype,"
                    " or uninstall it to use the double-double fallback"
                )
