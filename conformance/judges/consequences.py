"""Consequences of F1 and G1 that do not use their exact values: place, width, shape and reach of y, geometry of dx.

Each relation is propagated: where y errs by e_y, or dx by e_dx, at most, the relation errs by what is computed here.
"""

from __future__ import annotations

import numpy as np

from bnspec.cases.layouts import channel_major
from bnspec.spec.precision import Arithmetic, Number

from ..compare import VACUOUS, Array, Floats, Judgement, compare, worst_of
from ..expected import ExpectedPass
from ..experiments.training import TrainingRecord


def judge_f2(record: TrainingRecord) -> Judgement:
    """mean(y) = beta and mean((y - beta)^2) = gamma^2 (K/m)(1 - delta)."""
    y = _read(record, record.played.y.get())
    return VACUOUS if y is None else judge_place_and_width(y, record.expected)


def judge_place_and_width(y: Array, expected: ExpectedPass) -> Judgement:
    """F2 for y (C, m)."""
    a, e_y = expected.terms.arithmetic, expected.e_y
    beta, gamma = (a.array(each) for each in (expected.magnitudes.beta, expected.magnitudes.gamma))
    observed, count = a.array(y), y.shape[1]
    off = observed - beta[:, None]
    with np.errstate(all="ignore"):
        e_square = ((2 * np.abs(a.float64(off)) + e_y) * e_y).mean(axis=1)
    wanted = gamma * gamma * share_of_variance(expected)
    tells = expected.informative & (expected.magnitudes.gamma != 0)
    mean, square = observed.sum(axis=1) / count, (off * off).sum(axis=1) / count
    return worst_of(
        _compare("mean of y", mean, beta, e_y.mean(axis=1), np.abs(y).mean(axis=1), expected, tells),
        _compare("mean of (y - beta)^2", square, wanted, e_square, a.float64(square), expected, tells),
    )


def judge_f10(record: TrainingRecord) -> Judgement:
    """Skewness, but for gamma's sign, and kurtosis of y are those of x.

    With S and Q the two of x, mean z^3 = S (mean z^2)^1.5 and mean z^4 = Q (mean z^2)^2 for z = y - mean y.
    """
    y, expected, a = _read(record, record.played.y.get()), record.expected, record.stage.terms.arithmetic
    # Where the spread of x lies below the rounding of its exact mean there is no shape to keep.
    visible = np.sqrt(a.float64(expected.forward.var)) > 2.0 ** (4 - a.bits) * np.abs(expected.x).mean(axis=1)
    kept = expected.informative & (expected.magnitudes.gamma != 0) & visible
    if y is None or not kept.any() or not np.isfinite(y[kept]).all():
        return VACUOUS
    second, third, fourth = _take_central_moments(y[kept], a)
    x2, x3, x4 = _take_central_moments(expected.x[kept], a)
    gamma = expected.magnitudes.gamma[kept]
    skewness, kurtosis = x3 / (x2 * a.sqrt(x2)) * a.array(np.sign(gamma)), x4 / (x2 * x2)
    s, q = np.abs(a.float64(skewness)), a.float64(kurtosis)
    z = np.abs(gamma[:, None] * a.float64(expected.forward.xhat)[kept])
    e = expected.e_y[kept] + expected.e_y[kept].mean(axis=1, keepdims=True)
    with np.errstate(all="ignore"):
        exact, e_second = (z**2).mean(axis=1), ((2 * z + e) * e).mean(axis=1)
        low, high = np.maximum(exact - e_second, 0.0), exact + e_second
        e_third = ((3 * z**2 + 3 * z * e + e**2) * e).mean(axis=1) + s * (high**1.5 - low**1.5)
        e_fourth = ((4 * z**3 + 6 * z**2 * e + 4 * z * e**2 + e**3) * e).mean(axis=1) + q * (high**2 - low**2)
    sizes = ((z**3).mean(axis=1) + s * exact**1.5, 2 * (z**4).mean(axis=1))
    return worst_of(
        _compare("mean (y - mean y)^3", third, skewness * second * a.sqrt(second), e_third, sizes[0], expected),
        _compare("mean (y - mean y)^4", fourth, kurtosis * second * second, e_fourth, sizes[1], expected),
    )


def judge_f11(record: TrainingRecord) -> Judgement:
    """|y - beta| <= |gamma| sqrt((m - 1)(K/m)(1 - delta)), an equality for a value that stands out from equal ones."""
    y, expected, a = _read(record, record.played.y.get()), record.expected, record.stage.terms.arithmetic
    if y is None:
        return VACUOUS
    gamma, x, m = np.abs(expected.magnitudes.gamma), expected.x, y.shape[1]
    reach = a.array(gamma) * a.sqrt(share_of_variance(expected) * (m - 1))
    off = abs(a.array(y) - a.array(expected.magnitudes.beta)[:, None])
    ordered = np.sort(x, axis=1)
    alone = (x == ordered[:, -1:]) & (ordered[:, 0] == ordered[:, -2])[:, None]
    alone |= (x == ordered[:, :1]) & (ordered[:, 1] == ordered[:, -1])[:, None]
    alone &= (ordered[:, 0] < ordered[:, -1])[:, None]
    above = a.float64(off - reach[:, None])
    excess = np.where(alone, above, np.maximum(above, 0.0))
    tells = (expected.informative & (gamma > 0))[:, None] & alone
    own = (m + 4) * 2.0 ** (1 - a.bits) * (np.abs(y) + np.abs(expected.magnitudes.beta)[:, None])
    bound = expected.e_y + own
    return compare("|y - beta| above its reach", excess, a.array(np.zeros_like(excess)), bound, a,
                   informative=tells.any(axis=1))  # fmt: skip


def judge_g3(record: TrainingRecord) -> Judgement:
    """sum dx = 0 and sum dx xhat = gamma r dgamma delta."""
    dx, expected, a = _read(record, record.played.gradients.get().x), record.expected, record.stage.terms.arithmetic
    if dx is None:
        return VACUOUS
    exact, bound = record.expected_gradients
    forward, observed = expected.forward, a.array(dx)
    delta = _delta(expected)
    xhat = np.abs(a.float64(forward.xhat))
    wanted = expected.gamma * forward.rstd * exact.gamma * delta
    with np.errstate(all="ignore"):
        along = bound.x * xhat
        sizes = np.abs(dx).sum(axis=1), (np.abs(dx) * xhat).sum(axis=1)
    zero = a.array(np.zeros(len(dx)))
    tells = expected.informative & (expected.magnitudes.gamma != 0)
    return worst_of(
        _compare("sum of dx", observed.sum(axis=1), zero, bound.x.sum(axis=1), sizes[0], expected, tells),
        _compare("sum of dx xhat", (observed * forward.xhat).sum(axis=1), wanted, along.sum(axis=1), sizes[1],
                 expected, tells),
    )  # fmt: skip


def judge_g5(record: TrainingRecord) -> Judgement:
    """|dx|^2 = gamma^2 r^2 (|g|^2 - dbeta^2/m - (1 + delta) dgamma^2/K)."""
    dx, expected, a = _read(record, record.played.gradients.get().x), record.expected, record.stage.terms.arithmetic
    if dx is None:
        return VACUOUS
    exact, bound = record.expected_gradients
    assert expected.k is not None
    g, scale, m = a.array(channel_major(record.batch.dy)), expected.gamma * expected.forward.rstd, dx.shape[1]
    total, one = (g * g).sum(axis=1), a.array(np.ones(len(dx)))
    along = (one + _delta(expected)) * exact.gamma * exact.gamma / expected.k
    wanted = scale * scale * (total - exact.beta * exact.beta / m - along)
    observed = a.array(dx)
    with np.errstate(all="ignore"):
        limit = ((2 * np.abs(a.float64(exact.x)) + bound.x) * bound.x).sum(axis=1)
        size = 4 * a.float64(scale * scale * total)
    tells = expected.informative & (expected.magnitudes.gamma != 0)
    return _compare("|dx|^2", (observed * observed).sum(axis=1), wanted, limit, size, expected, tells)


def share_of_variance(expected: ExpectedPass) -> Number:
    """(K/m)(1 - delta) = (K/m) v r^2 of each channel."""
    forward = expected.forward
    assert expected.k is not None
    return forward.var * forward.rstd * forward.rstd * expected.k / expected.x.shape[1]


def _delta(expected: ExpectedPass) -> Number:
    """eps/(v + eps)."""
    a, forward = expected.terms.arithmetic, expected.forward
    return a.array(np.asarray(expected.eps)) * forward.rstd * forward.rstd


def _take_central_moments(values: Array, a: Arithmetic) -> tuple[Number, Number, Number]:
    """Means of the second, third and fourth power of the deviation from the mean, for (C, m)."""
    exact, count = a.array(values), values.shape[1]
    centred = exact - (exact.sum(axis=1) / count)[:, None]
    centred = centred - (centred.sum(axis=1) / count)[:, None]
    square = centred * centred
    return square.sum(axis=1) / count, (square * centred).sum(axis=1) / count, (square * square).sum(axis=1) / count


def _read(record: TrainingRecord, values: Array | None) -> Array | None:
    """y or dx channel by channel, None where it is missing or of another shape, which F7 or G1 refuses."""
    return channel_major(values) if values is not None and values.shape == record.batch.x.shape else None


def _compare(
    quantity: str, observed: Number, wanted: Number, bound: Floats, size: Floats, expected: ExpectedPass,
    tells: object = True,
) -> Judgement:  # fmt: skip
    """As `compare`, for sums that the judge itself formed of terms of `size` in the arithmetic of the exact values."""
    a = expected.terms.arithmetic
    own = (expected.x.shape[1] + 16) * 2.0 ** (1 - a.bits) * size
    difference = a.float64(observed - wanted)
    judged = compare(quantity, difference, a.array(np.zeros_like(difference)), bound + own, a, informative=tells)
    if not judged.failed or not judged.where:
        return judged
    channel = int(judged.where.removeprefix("channel "))
    got, right = (float(a.float64(each)[channel]) for each in (observed, wanted))
    return Judgement(
        judged.ratio, True, quantity, repr(got), f"{right!r} within {float(bound[channel]):.3g}", judged.where
    )
