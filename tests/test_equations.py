"""The equations against roads that do not share them: differences in 60 digits, symbolic derivatives, simulation."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from numpy.typing import NDArray

from bnspec.spec.dialects import TORCH, Dialect
from bnspec.spec.equations import (
    Normalised,
    blend,
    differentiate_evaluation,
    differentiate_training,
    differentiate_updated,
    divisor,
    jacobian_evaluation,
    jacobian_training,
    keep_constant,
    normalise,
    normalising_variance,
    stored_variance,
    take_moments,
    weight_of_new_batch,
)
from bnspec.spec.formats import FLOAT64
from bnspec.spec.precision import DOUBLE_DOUBLE, Arithmetic, Number, arithmetic_for

Scalars = list[Any]
Channel = Callable[[Scalars, Any, Any], Scalars]
"""The forward of one channel: values, gamma and beta to the outputs."""

QUAD = arithmetic_for(FLOAT64)
STEP, NEAR = mpmath.mpf(10) ** -20, 1e-28  # the error of a central difference in 60 digits is about 1e-40
EPS, GIVEN, WEIGHT = 0.013, (0.7, 2.3), 0.375
BOTH = pytest.mark.parametrize("normalises", ["biased", "unbiased"])
STORES = pytest.mark.parametrize("stores", ["biased", "unbiased"])


@pytest.fixture(autouse=True)
def in_sixty_digits() -> Any:
    with mpmath.workdps(60):
        yield


def draw(count: int, channels: int = 2) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]:
    """x, dy (C, m), gamma and beta (C,)."""
    random = np.random.default_rng(count)
    x, dy = random.normal(1.5, 2.0, (channels, count)), random.normal(size=(channels, count))
    return x, dy, random.uniform(-2, 2, channels), random.normal(size=channels)


def moments_of(xs: Scalars, less: int) -> tuple[Any, Any]:
    """Mean, and sum of squares about it over m - less, by sums of pairs: no two-pass formula."""
    m = len(xs)
    pairs = sum((xs[i] - xs[j]) ** 2 for i in range(m) for j in range(i))
    return sum(xs) / m, pairs / m / (m - less)


def training(normalises: str) -> Channel:
    def forward(xs: Scalars, gamma: Any, beta: Any) -> Scalars:
        mean, var = moments_of(xs, normalises == "unbiased")
        return [gamma * (x - mean) / mpmath.sqrt(var + mpmath.mpf(EPS)) + beta for x in xs]

    return forward


def evaluation(mean: Any, var: Any) -> Channel:
    return lambda xs, gamma, beta: [gamma * (x - mean) / mpmath.sqrt(var + mpmath.mpf(EPS)) + beta for x in xs]


def updated(stores: str) -> Channel:
    """Training that normalises with the running statistics after this batch is blended in."""

    def forward(xs: Scalars, gamma: Any, beta: Any) -> Scalars:
        mean, var = moments_of(xs, stores == "unbiased")
        a = mpmath.mpf(WEIGHT)
        return evaluation((1 - a) * GIVEN[0] + a * mean, (1 - a) * GIVEN[1] + a * var)(xs, gamma, beta)

    return forward


def difference(channel: Channel, xs: Scalars, gamma: Any, beta: Any, by: str, j: int = 0) -> Scalars:
    """dy_i by x_j, gamma or beta: a central difference."""

    def at(sign: int) -> Scalars:
        moved = [x + sign * STEP * (by == "x" and i == j) for i, x in enumerate(xs)]
        return channel(moved, gamma + sign * STEP * (by == "gamma"), beta + sign * STEP * (by == "beta"))

    return [(up - down) / (2 * STEP) for up, down in zip(at(1), at(-1), strict=True)]


def as_mp(value: Number, a: Arithmetic = QUAD) -> NDArray[Any]:
    """Leave the arithmetic as the exact sum of two float64."""
    high = a.float64(value)
    low = a.float64(value - a.array(high))
    join = np.vectorize(lambda h, s: mpmath.mpf(float(h)) + mpmath.mpf(float(s)), otypes=[object])
    return np.asarray(join(high, low))


def assert_near(got: Number, wanted: NDArray[Any], a: Arithmetic = QUAD) -> None:
    off = np.abs(as_mp(got, a) - wanted)
    assert off.shape == wanted.shape
    assert float(off.max()) <= NEAR * max(1.0, float(np.abs(wanted).max()))


def differentiate(channel: Channel, x: Any, dy: Any, gamma: Any, beta: Any) -> tuple[NDArray[Any], ...]:
    """dx (C, m), dgamma and dbeta (C,) by differences, and the Jacobian (C, m, m)."""
    jacobian = np.empty((*x.shape, x.shape[1]), dtype=object)
    by_gamma, by_beta = np.empty(x.shape, dtype=object), np.empty(x.shape, dtype=object)
    for c, row in enumerate(x):
        point = [mpmath.mpf(float(v)) for v in row], mpmath.mpf(float(gamma[c])), mpmath.mpf(float(beta[c]))
        for j in range(len(row)):
            jacobian[c, :, j] = difference(channel, *point, "x", j)
        by_gamma[c], by_beta[c] = difference(channel, *point, "gamma"), difference(channel, *point, "beta")
    g = np.vectorize(lambda v: mpmath.mpf(float(v)), otypes=[object])(dy)
    dx = (g[:, :, None] * jacobian).sum(axis=1)
    return dx, (g * by_gamma).sum(axis=1), (g * by_beta).sum(axis=1), jacobian


def run_forward(x: Any, gamma: Any, beta: Any, mean: Number, var: Number, a: Arithmetic = QUAD) -> Normalised:
    return normalise(a.array(x), a.array(gamma), a.array(beta), mean, var, a.array(np.asarray(EPS)), a)


@BOTH
@pytest.mark.parametrize("count", [2, 3, 7])
@pytest.mark.parametrize("a", [QUAD, DOUBLE_DOUBLE], ids=lambda a: a.name)
def test_training_is_the_derivative_of_its_forward(normalises: Any, count: int, a: Arithmetic) -> None:
    x, dy, gamma, beta = draw(count)
    dialect = replace(TORCH, normalises_with=normalises)
    moments = take_moments(a.array(x))
    forward = run_forward(x, gamma, beta, moments.mean, normalising_variance(moments, dialect), a)
    channel, k = training(normalises), divisor(dialect, count)
    y = [channel([mpmath.mpf(float(v)) for v in row], gamma[c], beta[c]) for c, row in enumerate(x)]
    assert_near(forward.y, np.array(y, dtype=object), a)
    dx, dgamma, dbeta, jacobian = differentiate(channel, x, dy, gamma, beta)
    got = differentiate_training(a.array(dy), forward, a.array(gamma), k)
    for mine, wanted in ((got.x, dx), (got.gamma, dgamma), (got.beta, dbeta)):
        assert_near(mine, wanted, a)
    assert_near(jacobian_training(forward, a.array(gamma), k), jacobian, a)


def test_evaluation_is_the_derivative_of_its_forward() -> None:
    x, dy, gamma, beta = draw(5)
    mean, var = (QUAD.array(np.full(2, v)) for v in GIVEN)
    forward = run_forward(x, gamma, beta, mean, var)
    dx, dgamma, dbeta, jacobian = differentiate(evaluation(*map(mpmath.mpf, GIVEN)), x, dy, gamma, beta)
    got = differentiate_evaluation(QUAD.array(dy), forward, QUAD.array(gamma))
    for mine, wanted in ((got.x, dx), (got.gamma, dgamma), (got.beta, dbeta)):
        assert_near(mine, wanted)
    assert_near(jacobian_evaluation(forward, QUAD.array(gamma)), jacobian)


@STORES
@pytest.mark.parametrize("count", [2, 6])
def test_training_with_updated_statistics_is_the_derivative_of_its_forward(stores: Any, count: int) -> None:
    x, dy, gamma, beta = draw(count)
    dialect = replace(TORCH, stores=stores)
    moments, weight = take_moments(QUAD.array(x)), QUAD.array(np.asarray(WEIGHT))
    mean, var = (QUAD.array(np.full(2, v)) for v in GIVEN)
    mean, var = blend(mean, moments.mean, weight), blend(var, stored_variance(moments, dialect), weight)
    forward = run_forward(x, gamma, beta, mean, var)
    got = differentiate_updated(QUAD.array(dy), forward, moments, QUAD.array(gamma), weight, dialect)
    dx, dgamma, dbeta, _ = differentiate(updated(stores), x, dy, gamma, beta)
    for mine, wanted in ((got.x, dx), (got.gamma, dgamma), (got.beta, dbeta)):
        assert_near(mine, wanted)


def _symbols(value: Any) -> NDArray[Any]:
    """Numbers become rationals, so that nothing is rounded; symbols stay."""
    return np.asarray(np.vectorize(sympy.nsimplify, otypes=[object])(np.asarray(value, dtype=object)))


SYMBOLIC = Arithmetic("symbolic", 0, _symbols, np.vectorize(sympy.sqrt, otypes=[object]), np.asarray)


@BOTH
@pytest.mark.parametrize("count", [2, 3])
def test_the_formula_of_dx_is_the_symbolic_derivative(normalises: Any, count: int) -> None:
    dialect = replace(TORCH, normalises_with=normalises)
    x = np.array([sympy.symbols(f"x:{count}", real=True)], dtype=object)
    dy = np.array([sympy.symbols(f"g:{count}", real=True)], dtype=object)
    scale, shift, eps = sympy.symbols("gamma beta eps", positive=True)
    gamma, beta = np.array([scale], dtype=object), np.array([shift], dtype=object)
    moments = take_moments(x)
    var = normalising_variance(moments, dialect)
    forward = normalise(x, gamma, beta, moments.mean, var, np.array(eps, dtype=object), SYMBOLIC)
    got = differentiate_training(dy, forward, gamma, divisor(dialect, count))

    mean = sum(x[0]) / sympy.Integer(count)
    spread = sum((v - mean) ** 2 for v in x[0]) / sympy.Integer(divisor(dialect, count))
    root = sympy.sqrt(spread + eps)
    loss = sum(g * (scale * (v - mean) / root + shift) for g, v in zip(dy[0], x[0], strict=True))
    pairs = [(got.x[0, i], x[0, i]) for i in range(count)] + [(got.gamma[0], scale), (got.beta[0], shift)]
    for formula, by in pairs:
        assert sympy.simplify(formula - sympy.diff(loss, by)) == 0


@pytest.mark.parametrize("stores", ["biased", "unbiased"])
def test_stored_variance_divides_by_m_or_by_one_less(stores: Any) -> None:
    x = np.array([[1.0, 2.0, 6.0]])
    var = stored_variance(take_moments(QUAD.array(x)), replace(TORCH, stores=stores))
    assert_near(var, np.array([mpmath.mpf(14) / (3 if stores == "biased" else 2)], dtype=object))


def test_moments_survive_a_large_offset() -> None:
    x = 1e15 + np.array([[0.125, 0.25, 0.75]])
    got = take_moments(QUAD.array(x))
    mean, var = moments_of([mpmath.mpf(float(v)) for v in x[0]], 0)
    assert_near(got.mean, np.array([mean], dtype=object))
    assert float(abs(as_mp(got.var)[0] - var)) <= NEAR


def test_blend_is_the_weighted_mean_of_old_and_new() -> None:
    old, new, a = 3.3, -1.7, 0.1
    got = blend(QUAD.array(np.array([old])), QUAD.array(np.array([new])), QUAD.array(np.asarray(a)))
    assert_near(got, np.array([(1 - mpmath.mpf(a)) * mpmath.mpf(old) + mpmath.mpf(a) * mpmath.mpf(new)], dtype=object))


def follow(dialect: Dialect, momentum: float | None, values: list[float], start: float = 1.0) -> list[Any]:
    """The running statistic after each of `values`, by the weights of the equations."""
    held, seen = QUAD.array(np.asarray([start])), []
    for k, value in enumerate(values):
        held = blend(held, QUAD.array(np.asarray([value])), weight_of_new_batch(dialect, momentum, k, QUAD))
        seen.append(as_mp(held)[0])
    return seen


VALUES = [0.3, -1.1, 4.7, 2.9]


def assert_follows(got: list[Any], wanted: list[Any]) -> None:
    assert [float(abs(g - w)) <= NEAR for g, w in zip(got, wanted, strict=True)] == [True] * len(wanted)


@pytest.mark.parametrize("weighs", ["new", "old"])
@pytest.mark.parametrize("constants", ["native", "float32"])
def test_momentum_weighs_what_the_dialect_says_as_it_keeps_it(weighs: Any, constants: Any) -> None:
    dialect = replace(TORCH, momentum_weighs=weighs, constants=constants)
    kept = mpmath.mpf(float(np.float32(0.1)) if constants == "float32" else 0.1)
    a = kept if weighs == "new" else 1 - kept
    held, wanted = mpmath.mpf(1), []
    for value in VALUES:
        held = (1 - a) * held + a * mpmath.mpf(value)
        wanted.append(held)
    assert_follows(follow(dialect, 0.1, VALUES), wanted)


def test_cumulative_average_is_the_plain_average_and_forgets_its_start() -> None:
    wanted = [mpmath.fsum(map(mpmath.mpf, VALUES[:k])) / k for k in range(1, len(VALUES) + 1)]
    assert_follows(follow(TORCH, None, VALUES, start=123.0), wanted)


def test_debiased_average_is_the_hidden_one_over_what_it_has_seen() -> None:
    dialect = replace(TORCH, average="debiased", momentum_weighs="old")
    rho, hidden, wanted = mpmath.mpf(0.9), mpmath.mpf(0), []
    for k, value in enumerate(VALUES, 1):
        hidden = rho * hidden + (1 - rho) * mpmath.mpf(value)
        wanted.append(hidden / (1 - rho**k))
    assert_follows(follow(dialect, 0.9, VALUES, start=123.0), wanted)


def test_first_batch_is_copied_and_later_ones_are_blended() -> None:
    held, wanted = mpmath.mpf(VALUES[0]), [mpmath.mpf(VALUES[0])]
    for value in VALUES[1:]:
        held = mpmath.mpf(0.75) * held + mpmath.mpf(0.25) * mpmath.mpf(value)
        wanted.append(held)
    assert_follows(follow(replace(TORCH, average="first copied"), 0.25, VALUES, start=123.0), wanted)


def test_constants_are_kept_as_the_dialect_keeps_them() -> None:
    assert keep_constant(TORCH, 1e-5) == 1e-5
    assert keep_constant(replace(TORCH, constants="float32"), 1e-5) == float(np.float32(1e-5)) != 1e-5


@pytest.mark.parametrize("offset", [1e3, 1e8])
def test_the_mean_is_right_to_its_last_bit_or_two(offset: float) -> None:
    x = offset + np.random.default_rng(0).standard_normal((50, 4099))
    exact = [math.fsum(row) / len(row) for row in x.tolist()]
    np.testing.assert_allclose(take_moments(x).mean, exact, rtol=2**-52, atol=0)
