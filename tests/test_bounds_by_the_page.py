"""The bounds are what `docs/bounds.md` says: two transcriptions of it, by arrays and in plain numbers, agree.

A term is noticed only where it counts. A bound is a function of its arguments, so these need not belong to a batch:
here each is zero, one, or of any size, by itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from bnspec.spec import bounds
from bnspec.spec import second_order_bounds as twice
from bnspec.spec.bounds import GradientError, Magnitudes, Rounding, StatisticsError, rounding_for
from bnspec.spec.dialects import TORCH
from bnspec.spec.formats import BFLOAT16, FLOAT16, FLOAT32, FLOAT64, FORMATS, PRECISIONS, Format
from bnspec.spec.second_order import Directions
from bnspec.spec.second_order_bounds import Projection, SecondError
from tests.bounds import by_the_page as page

Floats = NDArray[np.float64]

NATIVE = {
    f"{name}{', flushing' if flushes else ''}": rounding_for(p.storage, p.parameters, flushes=flushes)
    for name, p in PRECISIONS.items()
    for flushes in (False, True)
}
# No layer has these: formats that differ from role to role show which of them a term reads.
ODD = {
    "one of each": Rounding(FLOAT64, FLOAT16, FLOAT32, BFLOAT16, BFLOAT16, FLOAT16),
    "another of each": Rounding(FLOAT64, BFLOAT16, FLOAT16, FLOAT32, FLOAT32, BFLOAT16, flushes=True),
}
WIDE = {name: r for name, r in NATIVE.items() if r.output is r.arithmetic}
in_every_rounding = pytest.mark.parametrize("r", (NATIVE | ODD).values(), ids=NATIVE | ODD)
in_wide_ones = pytest.mark.parametrize("r", WIDE.values(), ids=WIDE)

M = 6  # shares bits with what is added to it, so that | and ^ are not +


class Scatter:
    """Numbers that are zero, one, or of any size; how many are zero is drawn for each channel."""

    def __init__(self, seed: int, channels: int) -> None:
        self.rng, self.channels = np.random.default_rng(seed), channels
        self.filled = self.rng.choice([0.1, 0.3, 0.7, 1.0], channels)

    def positive(self, *m: int) -> Floats:
        values = 10 ** self.rng.uniform(-9, 3, (self.channels, *m))
        return np.where(self.rng.random(values.shape) < 0.2, 1.0, values)

    def sizes(self, *m: int) -> Floats:
        values = self.positive(*m)
        return np.where(self.rng.random(values.shape) < np.reshape(self.filled, (-1, *(1 for _ in m))), values, 0.0)

    def signed(self, *m: int) -> Floats:
        values = self.sizes(*m)
        return np.asarray(values * self.rng.choice([-1.0, 1.0], values.shape))

    def magnitudes(self) -> Magnitudes:
        return Magnitudes(self.signed(M), self.signed(), self.positive(), self.signed(M), self.signed(), self.signed())

    def errors(self) -> StatisticsError:
        return StatisticsError(self.sizes(), self.sizes(), self.sizes(), self.sizes())

    def projection(self) -> Projection:
        return Projection(self.signed(M), self.signed(), self.sizes(), self.sizes(M))


def parts(whole: Any) -> tuple[Any, ...]:
    return tuple(getattr(whole, field.name) for field in fields(whole)) if is_dataclass(whole) else tuple(whole)


def of_page(formula: Callable[..., Any], arrays: tuple[Any, ...], *rest: Any) -> list[Any]:
    """What the page says of each channel of arrays and of dataclasses of arrays."""
    scalar = {Magnitudes: page.Channel, StatisticsError: page.Errors, Projection: page.Upstream}
    columns = [
        of_page(scalar[type(array)], parts(array)) if is_dataclass(array) else np.asarray(array).tolist()
        for array in arrays
    ]
    return [formula(*channel, *rest) for channel in zip(*columns, strict=True)]


def agree(got: Any, want: Any) -> None:
    """Equal but for the last bits, and infinite in the same places. Far below float32 nothing is compared."""
    np.testing.assert_allclose(np.asarray(got), np.asarray(want), rtol=1e-10, atol=1e-250)


def agree_in_parts(got: Any, want: list[Any]) -> None:
    for one, other in zip(parts(got), zip(*map(parts, want), strict=True), strict=True):
        agree(one, other)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """As for whoever calls the bounds: what overflows claims nothing."""
    with np.errstate(all="ignore"):
        yield


@pytest.mark.parametrize("flushes", [False, True])
def test_formats(flushes: bool) -> None:
    for storage in FORMATS.values():
        for parameters in FORMATS.values():
            r = page.choose_formats(storage, parameters, flushes)
            assert r == rounding_for(storage=storage, parameters=parameters, flushes=flushes)
            assert r.extra(parameters) == page.rounded_to(parameters, r)
            assert r.least(parameters) == page.underflow(parameters, r)
            assert (r.u, r.w) == (page.unit(r.arithmetic), page.underflow(r.arithmetic, r))
    assert not rounding_for(FLOAT32, FLOAT32).flushes
    assert not Rounding(FLOAT32, FLOAT32, FLOAT32, FLOAT32, FLOAT32, FLOAT32).flushes


def test_no_claim_changes_once_it_is_made() -> None:
    s = Scatter(0, 1)
    v, e, u = s.magnitudes(), s.errors(), s.projection()
    found = GradientError(u.e_x, u.dgamma, u.dgamma), SecondError(u.e_x, u.dgamma, u.e_x)
    for held in (ODD["one of each"], v, e, u, *found):
        with pytest.raises(FrozenInstanceError):
            setattr(held, fields(held)[0].name, None)


@pytest.mark.parametrize("f", FORMATS.values(), ids=FORMATS)
def test_accumulated_roundings(f: Format) -> None:
    u = page.unit(f)
    many = [0, 1, 7, 100, 0.3 / u, math.nextafter(0.5 / u, 0), 0.5 / u, 0.7 / u, 1 / u, 3 / u]
    want = of_page(page.acc, (many,), f)
    with np.errstate(all="raise"):
        agree(bounds.accumulate(np.array(many), u), want)
        agree([bounds.accumulate(n, u) for n in many], want)


def test_a_channel_is_informative_up_to_a_tenth() -> None:
    e_r = np.array([0.0, 0.99, 1.0, 1.01, math.nan])
    assert StatisticsError(e_r, e_r, e_r, e_r).informative(np.full(5, 10.0)).tolist() == [
        True,
        True,
        True,
        False,
        False,
    ]


@in_every_rounding
@pytest.mark.parametrize("algorithm", bounds.CLASSES)
def test_mean_and_variance(r: Rounding, algorithm: str) -> None:
    for m, channels in ((2, 30), (3, 30), (M, 60), (70, 5)):
        s = Scatter(m, channels)
        x, mean, var, running, zero = s.signed(m), s.signed(), s.sizes(), s.sizes(), np.zeros(channels)
        for shift, K in ((running, running), (None, zero)):
            got = bounds.bound_moments(x, mean, var, r, algorithm, shift)
            agree_in_parts(got, of_page(page.mean_and_variance, (x, mean, var, K), algorithm, r))


@in_every_rounding
def test_rstd(r: Rounding) -> None:
    s = Scatter(1, 60)
    e_mu, e_s2, v, zero = s.sizes(), s.sizes(), s.sizes(), np.zeros(60)
    for eps in (0.0, 1e-30, 1e-5, 1.0):
        for m_over_K in (1.0, 1.125, 2.0, 0.5):
            got = bounds.bound_statistics(e_mu, e_s2, v, m_over_K, eps, r)
            agree_in_parts(got, of_page(page.rstd, (e_mu, e_s2, v), m_over_K, eps, r))
        agree_in_parts(bounds.exact_statistics(v, eps, r), of_page(page.rstd, (zero, zero, v), 1.0, eps, r))


@in_every_rounding
def test_output(r: Rounding) -> None:
    s = Scatter(2, 200)
    v, e, y = s.magnitudes(), s.errors(), s.signed(M)
    agree(bounds.bound_output(v, y, e, r), of_page(page.output, (v, y, e), r))
    agree(bounds.error_of_xhat(v, e, r), of_page(page.Channel.e_xhat, (v, e), r))
    assert bounds.is_clamped(v, e).tolist() == of_page(page.Channel.is_clamped, (v, e))


@in_every_rounding
def test_running_statistics(r: Rounding) -> None:
    s = Scatter(3, 40)
    values = s.signed(), s.signed(), s.signed(), s.sizes(), s.sizes()
    for weight in (0.0, 1.0, 0.3, 0.001, 1.7, -0.2):
        for debiased in (0.0, 4.0, 1e3, 1e9):
            got = bounds.bound_blend(*values, weight, r, debiased)
            agree(got, of_page(page.blend, values, weight, debiased, r))
    agree(bounds.bound_blend(*values, 0.3, r), of_page(page.blend, values, 0.3, 0.0, r))


def test_debiasing() -> None:
    new = replace(TORCH, average="debiased")
    old = replace(new, momentum_weighs="old")
    single = replace(old, constants="float32")
    for k in (1, 2, 3, 10):
        for a in (0.0, 0.001, 0.1, 0.75, 1.0, 1.2, -0.2):
            agree(bounds.count_debiasing(new, a, k - 1), page.debiasing(1.0 - a, k))
            agree(bounds.count_debiasing(old, a, k - 1), page.debiasing(a, k))
            agree(bounds.count_debiasing(single, a, k - 1), page.debiasing(float(np.float32(a)), k))
            assert bounds.count_debiasing(TORCH, a, k - 1) == 0
        assert bounds.count_debiasing(new, None, k - 1) == 0


@in_every_rounding
def test_gradients(r: Rounding) -> None:
    s = Scatter(4, 150)
    v, e, values = s.magnitudes(), s.errors(), (s.signed(M), s.signed(M), s.signed(), s.signed())
    for k in (M, M - 1, None):
        agree_in_parts(bounds.bound_gradients(v, *values, e, r, k), of_page(page.gradients, (v, *values, e), k, r))


@in_wide_ones
def test_second_order(r: Rounding) -> None:
    s = Scatter(5, 150)
    v, e, y, g, u, a, b = (
        s.magnitudes(),
        s.errors(),
        s.signed(M),
        s.projection(),
        s.projection(),
        s.signed(),
        s.signed(),
    )
    along, e_g = Directions(u.values, a, b), s.sizes(M)
    for k in (M, M - 1, None):
        got = twice.bound_second(g, u, along, v, y, e, r, k)
        agree_in_parts(got, of_page(page.second_order, (g, u, a, b, v, y, e), k, r))
        agree_in_parts(twice.bound_through(e_g, v, e, r, k), of_page(page.through, (e_g, v, e), k, r))
        agree(twice.bound_pushed(u, along, v, y, e, r, k), of_page(page.pushed, (u, a, b, v, y, e), k, r))


@in_every_rounding
def test_batches(r: Rounding) -> None:
    """One after the other, as a pass is judged: each reads what the one before has returned."""
    rng = np.random.default_rng(6)
    gamma, beta = np.array([1.0, -2.5, 0.0, 1e3, 0.7, 1.0, 1.0]), np.array([0.0, 1.0, -3.0, 1e-3, 0.0, 2.0, 1.0])
    scale, offset = np.array([1.0, 1e-3, 0.0, 1e-20, 1e-38, 1e-45, 1e18]), np.array([0.0, 3.0, 0.1, 0.0, 0.0, 0.0, 0.0])
    for m, b, eps, algorithm in ((2, 1.0, 1e-5, "any"), (9, 9 / 8, 0.0, "stable"), (70, 1.0, 1e-30, "shifted")):
        x = rng.normal(size=(7, m)) * scale[:, None] + offset[:, None]
        g, mean = rng.normal(size=(7, m)) * (rng.random((7, m)) < 0.7), x.mean(axis=1)
        d = x - mean[:, None]
        var = (d * d).mean(axis=1)
        moments = bounds.bound_moments(x, mean, var, r, algorithm, np.abs(mean))
        agree_in_parts(moments, of_page(page.mean_and_variance, (x, mean, var, np.abs(mean)), algorithm, r))
        e = bounds.bound_statistics(*moments, b * var, b, eps, r)
        agree_in_parts(e, of_page(page.rstd, (*moments, b * var), b, eps, r))
        rstd = 1 / np.sqrt(b * var + eps)
        v, xhat, k = Magnitudes(x, mean, rstd, d, gamma, beta), d * rstd[:, None], round(m / b)
        agree(bounds.bound_output(v, x, e, r), of_page(page.output, (v, x, e), r))
        values = g, g * gamma[:, None], (g * xhat).sum(axis=1), g.sum(axis=1)
        agree_in_parts(bounds.bound_gradients(v, *values, e, r, k), of_page(page.gradients, (v, *values, e), k, r))


# The limits of chapter "domain": something is claimed just below, and nothing at the limit and just above


def around(limit: float) -> Floats:
    return np.array([np.nextafter(limit, 0.0), limit, np.nextafter(limit, np.inf)])


def agree_at_a_limit(got: Any, want: list[Any]) -> None:
    agree(got, want)
    assert np.isfinite(np.reshape(got, (3, -1))).all(axis=1).tolist() == [True, False, False]


def agree_at_a_limit_of_gradients(v: Magnitudes, g: Floats, e: StatisticsError, r: Rounding) -> None:
    passed = v, g, np.zeros((3, 2)), np.zeros(3), np.zeros(3), e
    for k in (2, None):
        got, want = bounds.bound_gradients(*passed, r, k), of_page(page.gradients, passed, k, r)
        agree_at_a_limit(got.x, [found.x for found in want])
        agree_at_a_limit(got.gamma, [found.gamma for found in want])


def at_rest() -> tuple[Magnitudes, StatisticsError]:
    """Two values in each of three channels: r and R are one, all else is zero."""
    zero, one, few = np.zeros(3), np.ones(3), np.zeros((3, 2))
    return Magnitudes(few, zero, one, few, zero, zero), StatisticsError(zero, zero, zero, one)


@in_wide_ones
def test_limits_of_statistics(r: Rounding) -> None:
    m, zero, eighth = 10, np.zeros(3), page.largest(r.arithmetic) / 8
    edge = around(math.sqrt(eighth / m))
    assert m * (edge[1] * edge[1]) == eighth
    x = np.repeat(edge[:, None], m, axis=1)
    for algorithm, of, shift in (("twopass", x, zero), ("shifted", x, zero), ("shifted", 0 * x, edge)):
        got = bounds.bound_moments(of, zero, zero, r, algorithm, shift)
        want = of_page(page.mean_and_variance, (of, zero, zero, shift), algorithm, r)
        for one, other in zip(got, zip(*want, strict=True), strict=True):
            agree_at_a_limit(one, list(other))


def test_limit_of_rstd() -> None:
    r, v, zero = WIDE["float32"], around(float.fromhex("0x1.0000bf7281dbcp-256"))[::-1], np.zeros(3)
    got = bounds.exact_statistics(v, 0.0, r)
    assert 1 / math.sqrt(v[1]) + got.rstd[1] == page.largest(FLOAT32)
    agree_at_a_limit(got.rstd_max, [e.R for e in of_page(page.rstd, (zero, zero, v), 1.0, 0.0, r)])


@in_wide_ones
def test_limits_of_passes(r: Rounding) -> None:
    eighth, zero, few = around(page.largest(r.arithmetic) / 8), np.zeros(3), np.zeros((3, 2))
    v, e = at_rest()
    half, widest = 4 * eighth, replace(v, gamma=eighth)
    none, still = Projection(few, zero, zero, few), replace(e, rstd_max=zero)
    for of, errors in ((replace(v, gamma=half), e), (replace(v, beta=half), still), (v, replace(e, rstd_max=half))):
        agree_at_a_limit(bounds.bound_output(of, few, errors, r), of_page(page.output, (of, few, errors), r))
    agree_at_a_limit_of_gradients(replace(v, gamma=eighth / 8), few, replace(e, rstd_max=zero + 2), r)
    second = twice.bound_second(none, none, Directions(few, zero, zero), widest, few, still, r, 2)
    expected = of_page(page.second_order, (none, none, zero, zero, widest, few, still), 2, r)
    agree_at_a_limit(second.x, [found.x for found in expected])
    agree_at_a_limit(second.gamma, [found.gamma for found in expected])


def test_limit_of_a_narrow_backward() -> None:
    g = around(page.largest(FLOAT16) / 8)[:, None] * [1.0, 0.0]
    agree_at_a_limit_of_gradients(at_rest()[0], g, at_rest()[1], NATIVE["mixed_float16"])


@in_every_rounding
def test_limit_of_storage(r: Rounding) -> None:
    for f in FORMATS.values():
        edge, zero = around(page.largest(f)), np.zeros(3)
        agree(bounds.store(zero, edge, r, f), of_page(page.store, (zero, edge), f, r))


def test_a_gamma_whose_product_with_rstd_is_lost_divides_nothing() -> None:
    r, v, e, zero = WIDE["float64"], Scatter(7, 20).magnitudes(), Scatter(8, 20).errors(), np.zeros(20)
    tiny, few = replace(v, gamma=zero + 1e-200, rstd=zero + 1e-200), np.zeros((20, M))
    want = of_page(page.gradients, (tiny, few, few, zero, zero, e), M, r)
    agree_in_parts(bounds.bound_gradients(tiny, few, few, zero, zero, e, r, M), want)
