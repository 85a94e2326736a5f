"""The arithmetics of the exact values: right to their last places, and found out when they are not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import ml_dtypes
import mpmath
import numpy as np
import pytest

from bnspec.layers.protocol import as_dtype
from bnspec.spec import precision
from bnspec.spec.double_double import DoubleDouble
from bnspec.spec.formats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS, PRECISIONS, Format, arithmetic_of
from bnspec.spec.precision import (
    DOUBLE,
    DOUBLE_DOUBLE,
    Arithmetic,
    BrokenArithmetic,
    Number,
    arithmetic_for,
    check_arithmetic,
    quad,
)

WIDE = [a for a in (quad(), DOUBLE_DOUBLE) if a is not None]
EACH = pytest.mark.parametrize("a", WIDE, ids=lambda a: a.name)
NEAR = Fraction(1, 2**100)


@pytest.fixture
def fresh_choice() -> Iterator[None]:
    arithmetic_for.cache_clear()
    yield
    arithmetic_for.cache_clear()


def leave(a: Arithmetic, value: Number) -> list[Fraction]:
    high = a.float64(value)
    low = a.float64(value - a.array(high))
    return [Fraction(float(h)) + Fraction(float(s)) for h, s in zip(np.ravel(high), np.ravel(low), strict=True)]


def draw(seed: int, count: int = 400) -> tuple[np.ndarray[Any, Any], list[Fraction]]:
    """Numbers of both signs over forty orders of magnitude, as float64 and as fractions."""
    random = np.random.default_rng(seed)
    values = random.normal(size=count) * 10.0 ** random.integers(-20, 20, count)
    return values, [Fraction(float(v)) for v in values]


def worst(got: list[Fraction], wanted: list[Fraction], size: list[Fraction] | None = None) -> Fraction:
    return max(abs(g - w) / abs(s) for g, w, s in zip(got, wanted, size or wanted, strict=True))


@pytest.mark.parametrize("f", FORMATS.values(), ids=list(FORMATS))
def test_formats_are_those_of_numpy_and_ml_dtypes(f: Format) -> None:
    theirs = ml_dtypes.finfo(as_dtype(f.name))  # type: ignore[no-untyped-call]  # ml_dtypes leaves it untyped
    assert f.precision == theirs.nmant + 1
    assert (f.emin, f.emax) == (theirs.minexp, theirs.maxexp - 1)
    assert f.unit_roundoff == float(theirs.eps) / 2
    assert f.smallest_normal == float(theirs.smallest_normal)
    assert f.smallest_subnormal == float(theirs.smallest_subnormal)
    assert f.largest == float(theirs.max)


def test_precisions_name_their_formats_and_half_is_summed_in_single() -> None:
    told = {name: (p.name, p.storage.name, p.parameters.name, p.is_low) for name, p in PRECISIONS.items()}
    assert told == {
        **{name: (name, name, name, False) for name in ("float32", "float64")},
        **{name: (name, name, name, True) for name in ("float16", "bfloat16")},
        **{f"mixed_{name}": (f"mixed_{name}", name, "float32", True) for name in ("float16", "bfloat16")},
    }
    sums = {name: arithmetic_of(f).name for name, f in FORMATS.items()}
    assert sums == {"float16": "float32", "bfloat16": "float32", "float32": "float32", "float64": "float64"}


@pytest.mark.parametrize("a", [DOUBLE, *WIDE], ids=lambda a: a.name)
def test_what_enters_stays_what_it_is_and_complex_numbers_are_none(a: Arithmetic) -> None:
    third = a.array(np.ones(2)) / 3
    again = a.array(third)
    assert (a.float64(abs(again - third)) == 0).all()
    assert np.isnan(a.float64(a.array(np.array([1 + 0j, 2j])))).all()
    assert a.float64(a.array([0.5, -3])).tolist() == [0.5, -3.0]


def test_bits_of_each_arithmetic() -> None:
    assert {"binary128": 113} | {a.name: a.bits for a in (DOUBLE, *WIDE)} == {
        "float64": 53, "double-double": 104, "binary128": 113
    }  # fmt: skip


@EACH
def test_wide_arithmetics_agree_with_fractions(a: Arithmetic) -> None:
    (x, fx), (y, fy) = draw(1), draw(2)
    left, right = a.array(x), a.array(y)
    sizes = [abs(p) + abs(q) for p, q in zip(fx, fy, strict=True)]
    assert worst(leave(a, left + right), [p + q for p, q in zip(fx, fy, strict=True)], sizes) <= NEAR
    assert worst(leave(a, left - right), [p - q for p, q in zip(fx, fy, strict=True)], sizes) <= NEAR
    assert worst(leave(a, left * right), [p * q for p, q in zip(fx, fy, strict=True)]) <= NEAR
    assert worst(leave(a, left / right), [p / q for p, q in zip(fx, fy, strict=True)]) <= NEAR
    assert leave(a, abs(left)) == [abs(p) for p in fx]


@EACH
def test_wide_arithmetics_stay_right_when_operations_follow_each_other(a: Arithmetic) -> None:
    (x, fx), (y, fy), (z, fz) = draw(3), draw(4), draw(5)
    # None of the three is a float64 any more: the low words carry the answer.
    got = (a.array(x) / a.array(y)) * (a.array(z) / a.array(x)) / (a.array(z) / a.array(y))
    assert worst(leave(a, got), [Fraction(1)] * len(x)) <= 8 * NEAR
    third = [p / q * r for p, q, r in zip(fx, fy, fz, strict=True)]
    assert worst(leave(a, (a.array(x) / a.array(y)) * a.array(z)), third) <= 2 * NEAR


@EACH
def test_roots_agree_with_mpmath(a: Arithmetic) -> None:
    x = np.abs(draw(6)[0])
    high = leave(a, a.sqrt(a.array(x)))
    with mpmath.workdps(60):
        for value, got in zip(x, high, strict=True):
            exact = mpmath.sqrt(mpmath.mpf(float(value)))
            assert abs(mpmath.mpf(got.numerator) / got.denominator - exact) <= exact * mpmath.mpf(2) ** -100
    assert leave(a, a.sqrt(a.array(np.array([0.0, 4.0])))) == [0, 2]


@EACH
@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 101])
def test_sums_agree_with_fractions(a: Arithmetic, count: int) -> None:
    values = np.stack([draw(seed, count)[0] for seed in (7, 8, 9)])
    exact = [sum((Fraction(float(v)) for v in row), Fraction()) for row in values]
    sizes = [sum((abs(Fraction(float(v))) for v in row), Fraction()) for row in values]
    assert worst(leave(a, a.array(values).sum(axis=1)), exact, sizes) <= count * NEAR


def test_the_product_of_two_doubles_is_exact() -> None:
    """All 106 bits of it: Dekker's halves lose none."""
    random = np.random.default_rng(7)
    x, y = (random.integers(2**52, 2**53, 4000).astype(np.float64) * random.choice([-1.0, 1.0], 4000) for _ in range(2))
    product = DoubleDouble(x) * DoubleDouble(y)
    for high, low, a, b in zip(product.high, product.low, x, y, strict=True):
        assert Fraction(float(high)) + Fraction(float(low)) == Fraction(float(a)) * Fraction(float(b))


def test_pairs_of_doubles_keep_their_bits_where_both_words_are_at_work() -> None:
    random = np.random.default_rng(8)
    high = random.normal(size=(2, 2000)) * 10.0 ** random.integers(-9, 9, (2, 2000))
    a, b = (DoubleDouble(h) + DoubleDouble(h * random.uniform(-0.9, 0.9, 2000) * 2.0**-53) for h in high)
    near = DoubleDouble(-a.high, b.low * (a.high / b.high))
    fa, fb, f_near = (leave(DOUBLE_DOUBLE, each) for each in (a, b, near))
    promised = Fraction(1, 2**DOUBLE_DOUBLE.bits)
    assert worst(leave(DOUBLE_DOUBLE, a + b), [p + q for p, q in zip(fa, fb, strict=True)]) <= promised
    assert worst(leave(DOUBLE_DOUBLE, a + near), [p + q for p, q in zip(fa, f_near, strict=True)]) <= promised
    assert worst(leave(DOUBLE_DOUBLE, a * b), [p * q for p, q in zip(fa, fb, strict=True)]) <= promised
    assert worst(leave(DOUBLE_DOUBLE, a / b), [p / q for p, q in zip(fa, fb, strict=True)]) <= promised
    assert worst(leave(DOUBLE_DOUBLE, 3.0 / b), [3 / q for q in fb]) <= promised
    assert leave(DOUBLE_DOUBLE, abs(a)) == [abs(p) for p in fa]


@EACH
def test_cancellation_leaves_the_low_word(a: Arithmetic) -> None:
    tiny = a.array(np.array([1.0])) + a.array(np.array([2.0**-90]))
    assert leave(a, tiny - 1.0) == [Fraction(1, 2**90)]
    assert leave(a, 1.0 - tiny) == [Fraction(-1, 2**90)]


@EACH
def test_arrays_of_no_axis_and_of_three_behave(a: Arithmetic) -> None:
    scalar = a.array(np.asarray(3.0))
    cube = a.array(np.arange(1.0, 25.0).reshape(2, 3, 4))
    assert leave(a, a.sqrt(scalar * scalar) / scalar) == [1]
    assert (cube * scalar).shape == (2, 3, 4)
    assert leave(a, cube / scalar)[5] == leave(a, a.array(np.array([6.0])) / 3.0)[0]
    flat = a.array(np.arange(6.0).reshape(2, 3))
    outer = flat[:, :, None] * flat[:, None, :]
    assert outer.shape == (2, 3, 3)
    assert leave(a, np.eye(3)[None] - outer)[4] == Fraction(0)
    assert leave(a, 2.0 * flat + 1.0) == [2 * k + 1 for k in range(6)]


def test_double_double_sums_over_either_axis() -> None:
    values = DoubleDouble.of(np.arange(6.0).reshape(2, 3))
    assert leave(DOUBLE_DOUBLE, values.sum(axis=0)) == [3, 5, 7]
    assert leave(DOUBLE_DOUBLE, values.sum(axis=1)) == [3, 12]


@pytest.mark.parametrize("shape", [(1, 5), (9, 3), (2, 1), (4, 8)])
def test_double_double_sums_few_and_many_channels(shape: tuple[int, int]) -> None:
    values = np.arange(1.0, 1 + shape[0] * shape[1]).reshape(shape)
    for axis in (0, 1):
        total = DoubleDouble(values).sum(axis=axis)
        assert total.high.tolist() == values.sum(axis=axis).tolist()
        assert not total.low.any()


@EACH
def test_low_precision_enters_exactly(a: Arithmetic) -> None:
    half = np.array([0.1, -65504.0, 6e-8], dtype=np.float16)
    assert leave(a, a.array(half)) == [Fraction(float(v)) for v in half]


@pytest.mark.parametrize("storage", [FLOAT16, BFLOAT16, FLOAT32], ids=lambda f: f.name)
def test_float64_judges_what_is_narrower(storage: Format) -> None:
    assert arithmetic_for(storage) is DOUBLE


@pytest.mark.parametrize("a", [*WIDE, DOUBLE], ids=lambda a: a.name)
def test_sound_arithmetics_pass_their_self_test(a: Arithmetic) -> None:
    check_arithmetic(a)


class Sabotaged(DoubleDouble):
    """Forgets the low word in one operation, as a broken build would."""

    broken = ""
    __slots__ = ()

    def __getitem__(self, key: Any) -> Sabotaged:
        return type(self)(self.high[key], self.low[key])

    def __mul__(self, other: Any) -> DoubleDouble:
        b = DoubleDouble.of(other)
        return type(self)(self.high * b.high) if self.broken == "product" else DoubleDouble.__mul__(self, b)

    def __truediv__(self, other: Any) -> DoubleDouble:
        b = DoubleDouble.of(other)
        return type(self)(self.high / b.high) if self.broken == "quotient" else DoubleDouble.__truediv__(self, b)

    def sum(self, axis: int) -> DoubleDouble:
        return type(self)(self.high.sum(axis=axis)) if self.broken == "sum" else super().sum(axis)


@pytest.mark.parametrize("broken", ["sum", "product", "quotient"])
def test_an_arithmetic_that_forgets_its_low_words_is_found(broken: str) -> None:
    kind = type("Broken", (Sabotaged,), {"broken": broken, "__slots__": ()})
    sabotaged = replace(DOUBLE_DOUBLE, array=lambda v: kind(np.asarray(v, dtype=np.float64)))
    with pytest.raises(BrokenArithmetic, match=f"a {broken} is off"):
        check_arithmetic(sabotaged)


def test_how_far_an_arithmetic_is_off_is_told_relative_to_the_sizes() -> None:
    with pytest.raises(BrokenArithmetic, match=r"a root is off by 3\.0e\+00 relative"):
        check_arithmetic(replace(DOUBLE, sqrt=lambda v: 2 * np.sqrt(v)))


def test_a_rounded_root_is_found() -> None:
    with pytest.raises(BrokenArithmetic, match="a root is off"):
        check_arithmetic(replace(DOUBLE_DOUBLE, sqrt=lambda v: DoubleDouble(np.sqrt(v.high))))


def test_float64_that_claims_more_bits_is_found() -> None:
    with pytest.raises(BrokenArithmetic, match="reinstall numpy-quaddtype"):
        check_arithmetic(replace(DOUBLE, bits=113))


@pytest.mark.usefixtures("fresh_choice")
def test_double_double_stands_in_where_there_is_no_quad(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "quad", lambda: None)
    assert arithmetic_for(FLOAT64) is DOUBLE_DOUBLE


@pytest.mark.usefixtures("fresh_choice")
def test_a_broken_quad_is_reported_and_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "quad", lambda: replace(DOUBLE, name="binary128", bits=113))
    with pytest.raises(BrokenArithmetic, match="binary128"):
        arithmetic_for(FLOAT64)


@pytest.mark.usefixtures("fresh_choice")
def test_quad_is_absent_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    quad.cache_clear()
    monkeypatch.setitem(__import__("sys").modules, "numpy_quaddtype", None)
    try:
        assert quad() is None
    finally:
        quad.cache_clear()
