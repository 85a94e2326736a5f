"""Rounding bounds: how far a right implementation may be from the exact value, derived and not chosen.

Every bound is a posteriori in the data (it reads the exact values of this very batch) and a priori in the rounding (any
order of summation, any of the algorithms of a class). Derivations: `docs/bounds.md`. Arrays are float64 and
channel-major, x and dy (C, m), parameters and statistics (C,); an infinite bound means that no claim is made there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.spec.dialects import Dialect
from bnspec.spec.equations import keep_constant
from bnspec.spec.formats import Format, arithmetic_of

Floats = NDArray[np.float64]

CLASSES: dict[str, str] = {
    "twopass": "mean first, then the squared deviations (corrected or not)",
    "stable": "any algorithm whose error grows like m u kappa: two passes, Welford, pairwise, Chan",
    "shifted": "squares of x - K for a K of the data's or the running mean's size",
    "textbook": "E[x^2] - E[x]^2, clamped at zero",
    "any": "the larger of textbook and shifted: what a MUST clause allows where no class is declared",
}


@dataclass(frozen=True)
class Rounding:
    """The formats a subject is entitled to round to.

    `arithmetic` for sums, `kept` for mean and rstd between the passes, `output` for y and dx, `parameters` for dgamma,
    dbeta and the running statistics; `forward` and `backward` for what is computed value by value. `flushes` where
    subnormal numbers become zero (GPUs).
    """

    arithmetic: Format
    kept: Format
    output: Format
    parameters: Format
    forward: Format
    backward: Format
    flushes: bool = False

    @property
    def u(self) -> float:
        return self.arithmetic.unit_roundoff

    @property
    def w(self) -> float:
        return self.least(self.arithmetic)

    def least(self, of: Format) -> float:
        """What one underflow in a format may lose."""
        return of.smallest_normal if self.flushes else of.smallest_subnormal

    def extra(self, storage: Format) -> tuple[float, float]:
        """Relative and absolute error of one rounding to `storage`; zero where that is as wide as the arithmetic."""
        if storage.precision >= self.arithmetic.precision:
            return 0.0, 0.0
        return storage.unit_roundoff, storage.smallest_subnormal


def rounding_for(storage: Format, parameters: Format, *, flushes: bool = False) -> Rounding:
    """The rounding of a layer whose x is stored in `storage` and whose parameters are stored in `parameters`.

    Where the parameters are low precision too, shipped kernels keep mean, rstd and momentum in that format, and layers
    composed of operations round every one of them to it. A backward may round value by value to the format of x.
    """
    arithmetic = arithmetic_of(storage)
    kept = parameters if parameters.precision < arithmetic.precision else arithmetic
    backward = storage if storage.precision < arithmetic.precision else arithmetic
    return Rounding(arithmetic, kept, storage, parameters, kept, backward, flushes)


@dataclass(frozen=True)
class StatisticsError:
    """Allowed errors of the mean, of the normalising variance and of rstd; `rstd_max` bounds the computed rstd."""

    mean: Floats
    biased_var: Floats
    rstd: Floats
    rstd_max: Floats

    def informative(self, rstd: Floats) -> NDArray[np.bool_]:
        """Channels whose rstd is claimed to a tenth of itself or better."""
        return np.asarray(self.rstd <= 0.1 * rstd)


def accumulate(n: Any, u: float) -> Any:
    """gamma_n = n u/(1 - n u), the growth of n roundings (Higham 2002, Lemma 3.1); infinite from n u >= 1/2 on."""
    if isinstance(n, int | float):
        return n * u / (1.0 - n * u) if n * u < 0.5 else np.inf
    nu = np.asarray(n * u, dtype=np.float64)
    return np.where(nu < 0.5, nu / np.maximum(1.0 - nu, 0.5), np.inf)


def bound_moments(
    x: Floats, mean: Floats, var: Floats, r: Rounding, algorithm: str, shift: Floats | None
) -> tuple[Floats, Floats]:
    """Allowed errors of mean and biased variance; `shift` is the largest |K| a shifted algorithm may use (C,)."""
    if algorithm == "any":
        # In a low format throughout a shift of x's size would allow anything: whoever shifts does so in float32.
        inside = replace(r, forward=r.arithmetic)
        pairs = [bound_moments(x, mean, var, s, each, shift) for s, each in ((r, "textbook"), (inside, "shifted"))]
        return np.maximum(pairs[0][0], pairs[1][0]), np.maximum(pairs[0][1], pairs[1][1])
    m, w = x.shape[1], r.w
    size, mu = np.abs(x).mean(axis=1), np.abs(mean)
    k = np.abs(x).max(axis=1) if shift is None else np.maximum(np.abs(x).max(axis=1), shift)
    stepwise, underflow = r.extra(r.forward)
    squares = accumulate(m + 5, r.u) + 7 * stepwise
    # An update of the mean divides each time: a quotient loses w/2, of which a share k/m stays.
    lost = 2 + (m / 4 if algorithm in ("stable", "shifted") else 0)
    e_mean = accumulate(m + 4 + 2 * np.log(m), r.u) * (size + k if algorithm == "shifted" else size) + lost * w
    relative, absolute = r.extra(r.kept)
    if relative:
        # Of a sum and of its quotient, and of partial means over one axis and another, of x or step by step of x - K.
        partial = size + k if algorithm == "shifted" and stepwise else size
        e_mean = e_mean + relative * (2 * (mu + e_mean) + 2 * partial) + 4 * absolute
    if algorithm == "textbook":
        e_var = squares * (var + mu * mu) + 2 * mu * e_mean + 1.1 * e_mean**2 + 2 * w
    else:
        e_var = squares * (var + e_mean**2) + 1.1 * e_mean**2 + 2 * w
        if algorithm != "twopass":
            e_var = e_var + 2.5 * e_mean * np.sqrt(var)
        if algorithm == "shifted":
            e_var = e_var + squares * (var + (k + mu) ** 2) + 2 * (k + mu) * squares * (size + k)
    if relative:
        e_var = e_var + relative * (var + e_var) + absolute + underflow
    widest = k if algorithm == "shifted" else np.abs(x).max(axis=1)
    overflows = m * widest**2 >= r.forward.largest / 8
    return np.where(overflows, np.inf, e_mean), np.where(overflows, np.inf, e_var)


def bound_statistics(
    e_mean: Floats, e_biased: Floats, var: Floats, besides: float, eps: float, r: Rounding
) -> StatisticsError:
    """Errors of rstd from those of mean and biased variance; `var` normalises and is `besides` = m/K times the biased.

    An interval and not a first-order term: where var is small against its error the first order is wrong. Any computed
    variance is at least zero, hence the floor at eps. Six roundings: eps, its sum, root, quotient, a two-ulp rsqrt;
    where the root is exp(-log/2), half the logarithm's size more.
    """
    e_var = besides * (e_biased + (2 * r.u * var / besides if besides != 1.0 else 0.0))
    total = var + eps
    stepwise, underflow = r.extra(r.forward)
    low = np.maximum(total - e_var, eps * (1 - 4 * r.u)) * (1 - 2 * stepwise) - 2 * underflow
    low, high = np.where(low > 0, low, np.nan), (total + e_var) * (1 + 2 * stepwise) + 2 * underflow
    exact = 1 / np.sqrt(total)
    roundings = accumulate(6 + np.abs(np.log(low)) / 2, r.forward.unit_roundoff)
    e_rstd = np.maximum(1 / np.sqrt(low) - exact, exact - 1 / np.sqrt(high)) + roundings / np.sqrt(low)
    relative, absolute = r.extra(r.kept)
    e_rstd = e_rstd + relative * (exact + e_rstd) + absolute
    e_rstd = np.where(np.isfinite(e_rstd), e_rstd, np.inf)
    largest = exact + e_rstd
    return StatisticsError(e_mean, e_biased, e_rstd, np.where(largest < r.kept.largest, largest, np.inf))


def exact_statistics(var: Floats, eps: float, r: Rounding) -> StatisticsError:
    """Evaluation: mean and variance are given, only rstd is computed."""
    zero = np.zeros_like(var)
    return bound_statistics(zero, zero, var, 1.0, eps, r)


@dataclass(frozen=True)
class Magnitudes:
    """Float64 views of the exact forward, as the bounds of output and gradients read it."""

    x: Floats
    mean: Floats
    rstd: Floats
    deviation: Floats
    gamma: Floats
    beta: Floats


def _folded(v: Magnitudes, e: StatisticsError) -> Floats:
    """|x| + |mean|: what is rounded where the layer folds to x alpha + (beta - mean alpha), as shipped kernels do."""
    return np.asarray(np.abs(v.x) + (np.abs(v.mean) + e.mean)[:, None])


def _from_statistics(v: Magnitudes, e: StatisticsError) -> Floats:
    """Error of xhat that comes from mean and rstd."""
    return np.asarray(np.abs(v.deviation) * e.rstd[:, None] + (e.mean * e.rstd_max)[:, None])


def error_of_xhat(v: Magnitudes, e: StatisticsError, r: Rounding) -> Floats:
    """Error of xhat as a backward may recompute it, elementwise."""
    rounded = accumulate(8, r.backward.unit_roundoff) * e.rstd_max[:, None]
    return np.asarray(_from_statistics(v, e) + rounded * _folded(v, e))


def is_clamped(v: Magnitudes, e: StatisticsError) -> NDArray[np.bool_]:
    """Channels whose variance is within its error: it may come out below zero and be clamped there, so that a recorded
    graph has no path through it."""
    return np.asarray(e.biased_var >= (v.deviation**2).mean(axis=1))


def bound_output(v: Magnitudes, y: Floats, e: StatisticsError, r: Rounding) -> Floats:
    """Allowed error of y, elementwise."""
    gamma, beta, top = np.abs(v.gamma)[:, None], np.abs(v.beta)[:, None], e.rstd_max[:, None]
    u, w = r.forward.unit_roundoff, r.least(r.forward)
    bound = gamma * (_from_statistics(v, e) + accumulate(5, u) * top * _folded(v, e))
    bound = bound + accumulate(3, u) * beta + 4 * w * (1 + gamma * (1 + top) + _folded(v, e))
    # alpha, x alpha and xhat, before the rest comes to it, may be held in the format that y is computed in.
    held = np.maximum(gamma, 1.0) * top * np.maximum(_folded(v, e), 1.0) + beta
    bound = np.where(held < r.forward.largest / 2, bound, np.inf)
    relative, _ = r.extra(r.kept)
    if relative:
        bound = bound + relative * (gamma * top * (np.abs(v.deviation) + 2 * (np.abs(v.mean) + e.mean)[:, None]) + beta)
    if r.output.precision < r.forward.precision:  # xhat may be rounded to the format of x before it is scaled
        relative, absolute = r.extra(r.output)
        xhat = np.abs(v.deviation) * v.rstd[:, None] + _from_statistics(v, e)
        bound = bound + gamma * (relative * xhat + absolute)
    return store(bound, y, r, r.output)


def store(bound: Floats, exact: Floats, r: Rounding, storage: Format) -> Floats:
    """Add the rounding to the storage format; no claim where the result may overflow it."""
    relative, absolute = r.extra(storage)
    bound = bound + relative * (np.abs(exact) + bound) + absolute
    return np.where(np.abs(exact) + bound < storage.largest, bound, np.inf)


@dataclass(frozen=True)
class GradientError:
    """Allowed errors of dx (C, m), dgamma and dbeta (C,)."""

    x: Floats
    gamma: Floats
    beta: Floats


def bound_gradients(
    v: Magnitudes, dy: Floats, dx: Floats, dgamma: Floats, dbeta: Floats, e: StatisticsError, r: Rounding, k: int | None
) -> GradientError:
    """Allowed errors of dx, dgamma and dbeta; `k` is K of the training forward, None in evaluation."""
    m, u, w = dy.shape[1], r.u, r.least(r.backward)
    stepwise, _ = r.extra(r.backward)
    top, mu = e.rstd_max, np.abs(v.mean) + e.mean
    g, total = np.abs(dy), np.abs(dy).sum(axis=1)
    weighted = (g * np.abs(v.x)).sum(axis=1)
    flushed = 2 * m * r.w if r.flushes else 0.0  # each dy as it is read, each sum as it grows
    e_beta = accumulate(m, u) * total + stepwise * np.abs(dbeta) + flushed
    e_gamma = top * ((accumulate(m + 6, u) + 6 * stepwise) * (weighted + mu * total) + e.mean * total)
    e_gamma = e_gamma + np.abs((dy * v.deviation).sum(axis=1)) * e.rstd + 4 * w * ((1 + top) * m + total)
    e_x = _bound_dx_evaluation(v, g, e, r) if k is None else _bound_dx(v, dy, dx, dgamma, dbeta, e_gamma, e, r, k)
    relative, _ = r.extra(r.kept)
    if relative and k is None:
        e_x = e_x + 2 * relative * (np.abs(v.gamma) * top)[:, None] * g
    # Terms like r^3 x^2 dy stand in a composed graph: no claim on a gradient where they may overflow.
    widest = np.maximum(np.abs(v.x).max(axis=1) + mu, 1.0)
    cubed = np.maximum(top, 1.0) ** 3 * np.maximum(total, 1.0) * widest**2 * np.maximum(np.abs(v.gamma), 1.0)
    # A backward that rounds value by value may hold these in that format: sums of g and g (x - mean), and dx / gamma.
    unscaled = top * _add_up_dx(v, g, dbeta, dgamma, k).max(axis=1)
    held = np.maximum(np.maximum(weighted + mu * total, total), unscaled)
    safe = (cubed < r.forward.largest / 8) & (held < r.backward.largest / 8)
    return GradientError(
        store(np.where(safe[:, None], e_x, np.inf), dx, r, r.output),
        store(np.where(safe, e_gamma, np.inf), dgamma, r, r.parameters),
        store(e_beta, dbeta, r, r.parameters),
    )


def _add_up_dx(v: Magnitudes, g: Floats, dbeta: Floats, dgamma: Floats, k: int | None) -> Floats:
    """T, the sizes of the terms of dx / (gamma rstd): |dy| + |dbeta|/m + |xhat dgamma|/K in training."""
    if k is None:
        return g
    xhat = np.abs(v.deviation) * v.rstd[:, None]
    return np.asarray(g + (np.abs(dbeta) / g.shape[1])[:, None] + xhat * (np.abs(dgamma) / k)[:, None])


def _bound_dx_evaluation(v: Magnitudes, g: Floats, e: StatisticsError, r: Rounding) -> Floats:
    gamma = np.abs(v.gamma)
    scale = accumulate(4, r.backward.unit_roundoff) * gamma * e.rstd_max + gamma * e.rstd
    return np.asarray(scale[:, None] * g + 2 * r.least(r.backward) * ((1 + gamma + e.rstd_max)[:, None] + g))


def _bound_dx(
    v: Magnitudes,
    dy: Floats,
    dx: Floats,
    dgamma: Floats,
    dbeta: Floats,
    e_gamma: Floats,
    e: StatisticsError,
    r: Rounding,
    k: int,
) -> Floats:
    """The terms of dx carry the rounding, not |dx|: at m = 2 dx is almost all cancellation."""
    m, u, w = dy.shape[1], r.u, r.least(r.backward)
    stepwise, each = r.extra(r.backward)[0], r.backward.unit_roundoff
    gamma, top = np.abs(v.gamma)[:, None], e.rstd_max[:, None]
    g, xhat = np.abs(dy), np.abs(v.deviation) * v.rstd[:, None]
    h, e_h = (np.abs(dgamma) / k)[:, None], (e_gamma / k)[:, None]
    e_mean_g = ((accumulate(m + 2, u) + 2 * stepwise) * g.sum(axis=1) / m + 2 * stepwise * np.abs(dbeta) / m)[:, None]
    e_xhat = error_of_xhat(v, e, r)
    terms = _add_up_dx(v, g, dbeta, dgamma, k)
    # The last term: sum(x - computed mean) is not exactly zero, and a composed graph differentiates through it.
    inner = e_mean_g + xhat * e_h + h * e_xhat + e_xhat * e_h + (accumulate(m + 4, u) + 4 * stepwise) * h * (m / k)
    inner = inner + np.where(is_clamped(v, e)[:, None], xhat * h, 0.0)
    scale = gamma * v.rstd[:, None]
    centred = np.where(gamma > 0, np.abs(dx) / np.where(scale > 0, scale, 1.0), 0.0)
    bound = gamma * (top * (inner + accumulate(8, each) * (terms + inner)) + e.rstd[:, None] * centred)
    mu = np.abs(v.mean) + e.mean
    spread = 1 + (g * np.abs(v.x)).sum(axis=1) + (1 + mu) * g.sum(axis=1)
    underflow = 8 * w * ((1 + np.abs(v.gamma)) * spread * (1 + e.rstd_max) ** 3)[:, None] * (1 + _folded(v, e))
    relative, _ = r.extra(r.kept)
    return np.asarray(bound + underflow + 2 * relative * gamma * top * (terms + inner))


def count_debiasing(dialect: Dialect, momentum: float | None, batches: int) -> float:
    """Roundings that debiasing adds: rho and rho**k are rounded before 1 - rho**k cancels (k counts this batch)."""
    if dialect.average != "debiased" or momentum is None:
        return 0.0
    kept = keep_constant(dialect, momentum)
    k = batches + 1
    power = (1.0 - kept if dialect.momentum_weighs == "new" else kept) ** k
    return (2 * k + 3) * power / (1.0 - power) if power < 1.0 else np.inf


def bound_blend(
    old: Floats,
    new: Floats,
    result: Floats,
    e_old: Floats,
    e_new: Floats,
    weight: float,
    r: Rounding,
    debiasing: float = 0.0,
) -> Floats:
    """Allowed error of (1-a) old + a new, for the running mean and variance alike; `debiasing` from count_debiasing.

    a or 1-a is rounded before use, whichever the subject was given, so old and new both weigh a + |1-a| here.
    Six roundings: two of constants, two products, the sum, and m/(m-1) where the variance is unbiased.
    """
    both = weight + abs(1.0 - weight)
    relative, _ = r.extra(r.kept)
    coarsest = max(r.u, relative)
    size = np.abs(old) + e_old + (np.abs(new) + e_new if weight else 0.0)
    slack = (accumulate(6, coarsest) * both + accumulate(debiasing, coarsest) + 2 * relative * weight) * size
    return store(abs(1.0 - weight) * e_old + weight * e_new + slack + 2 * r.w, result, r, r.parameters)
