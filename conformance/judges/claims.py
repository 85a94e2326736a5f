"""Family C: what is claimed of a layer inside a network. That of C5 is statistical: its bounds are quantiles.

A right layer is refused by chance once in 1e9 cases at most, and as the cases hang on no seed but their own, a case
that passes always does.
"""

from __future__ import annotations

import math

import numpy as np

from bnspec.cases.layouts import channel_major
from bnspec.spec.equations import jacobian_evaluation, jacobian_training

from ..compare import VACUOUS, Floats, Judgement, compare, worst_of
from ..experiments.descent import DescentRecord
from ..experiments.differences import DifferencesRecord
from ..experiments.digits import GAINS, LEAST_WIDTH, DigitsRecord, Training
from ..experiments.jacobian import JacobianRecord
from ..experiments.jitter import BATCHES, JitterRecord
from ..experiments.widths import GAINS as WIDTH_GAINS
from ..experiments.widths import WidthsRecord
from .consequences import judge_place_and_width
from .differences import judge_g12
from .gradients import judge_gradients

FALSE_ALARM = 1e-9
"""The probability that chance refuses a right layer in one case."""
QUANTILE = 6.2
"""What a standard normal variable exceeds in size with less than that probability: 5.7e-10."""
BIAS = 16.0
"""m times what the delta method leaves out, relative: at most 9 for the populations and places of the experiment."""
FOLLOWS = 1000.0
"""By so much the widths of the last layer differ between the gains without layers, or nothing is told."""


def judge_c1(record: WidthsRecord) -> Judgement:
    """F2 after each layer at each gain; telling where the widths without layers follow the gain."""
    last = [record.bare[gain][-1] for gain in (WIDTH_GAINS[0], WIDTH_GAINS[-1])]
    if not last[1] > FOLLOWS * last[0]:
        return VACUOUS
    return worst_of(
        *(judge_place_and_width(channel_major(link.passed.y), link.expected)
          for links in record.links.values() for link in links)
    )  # fmt: skip


def judge_c2_in_a_network(record: WidthsRecord) -> Judgement:
    """G1 at each layer, for the upstream gradient that the network above hands down."""
    checks = []
    for gain, links in record.links.items():
        for depth, link in enumerate(links):
            assert link.gradients is not None
            checks.append(
                judge_gradients(link.gradients, *link.expected_gradients, record.stage, link.x.shape,
                                link.expected.informative, when=f" of layer {depth} at gain {gain:g}")
            )  # fmt: skip
    return worst_of(*checks)


def judge_c2(record: DifferencesRecord) -> Judgement:
    """G1 and G12 on one batch."""
    base, shape = record.base, record.base.x.shape
    exact, bound = base.expected.differentiate(record.dy)
    gradients = base.played.gradients.get()
    return worst_of(
        judge_gradients(gradients, exact, bound, record.stage, shape, base.expected.informative), judge_g12(record)
    )


def judge_c3(record: DescentRecord) -> Judgement:
    """The first gradients have the signs of mean(y) - target and of gamma (width - target); the last y is there."""
    a, first = record.stage.terms.arithmetic, record.first
    assert first.gradients is not None
    assert first.start.gamma is not None
    ways = {
        "dbeta": (first.gradients.beta, record.means[0] - record.mean),
        "dgamma": (first.gradients.gamma, (record.widths[0] - record.width) * first.start.gamma.reshape(-1)),
    }
    half, reach = np.full(len(record.mean), 0.5), 0.01 * (np.abs(record.mean) + record.width)
    checks = [
        compare(f"sign of {name} at the start", None if got is None else np.sign(got.reshape(-1)),
                a.array(np.sign(way)), half, a)
        for name, (got, way) in ways.items()
    ]  # fmt: skip
    return worst_of(
        *checks,
        compare("mean of y after the descent", record.means[-1], a.array(record.mean), reach, a),
        compare("width of y after the descent", record.widths[-1], a.array(record.width), reach, a),
    )


def judge_c4(record: JacobianRecord) -> Judgement:
    """Off the diagonal: above e_dx in training wherever it must be, which is a sign that cannot be lost; else 0."""
    expected, checks, stage = record.expected, [], record.stage
    a, forward, gamma = stage.terms.arithmetic, expected.forward, expected.gamma
    k, training = expected.k, expected.k is not None
    rows = jacobian_evaluation(forward, gamma) if k is None else jacobian_training(forward, gamma, k)
    for place, (dy, played) in enumerate(record.rows):
        dx = played.gradients.get().x
        if dx is None or dx.shape != record.x.shape:
            return VACUOUS
        bound = expected.differentiate(dy)[1].x
        seen, exact = channel_major(dx), a.float64(rows[:, place, :])
        others = np.arange(exact.shape[1]) != place
        if training:
            telling = others & np.isfinite(bound) & (np.abs(exact) > 2 * bound) & expected.informative[:, None]
            seen, exact = np.where(telling, np.sign(seen), 0.0), np.where(telling, np.sign(exact), 0.0)
            bound = np.full(exact.shape, 0.5)
            tells = telling.any(axis=1)
        else:
            seen, exact = np.where(others, seen, 0.0), np.zeros_like(exact)
            tells = expected.magnitudes.gamma != 0
        name = f"{'sign of ' if training else ''}dy_i/dx_j, i = {place} and j another,"
        checks.append(compare(name, seen, a.array(exact), bound, a, informative=tells))
    return worst_of(*checks)


def judge_c5(record: JitterRecord) -> Judgement:
    """m Var(y)/gamma^2 at each m, its slope in log m, and the same y in each batch in evaluation."""
    stage, start, sizes = record.stage, record.start, sorted(record.outputs)
    a, c = stage.terms.arithmetic, stage.case.channels
    gamma = np.ones(c) if start.gamma is None else start.gamma.reshape(-1).astype(np.float64)
    theory = predict_jitter(record)
    with np.errstate(all="ignore"):
        variances = np.array([record.outputs[m].var(axis=0, ddof=1) / gamma**2 for m in sizes])
    checks = []
    for m, variance in zip(sizes, variances, strict=True):
        bound = theory * (bound_variance(c * len(sizes)) + BIAS / m)
        checks.append(compare(f"m Var(y)/gamma^2 for m = {m}", m * variance, a.array(theory), bound, a,
                              axes=("channel",)))  # fmt: skip
    with np.errstate(all="ignore"):
        slope = (np.log(variances[-1]) - np.log(variances[0])).mean(keepdims=True) / math.log(sizes[-1] / sizes[0])
    wide = np.array([(QUANTILE * math.sqrt(4 / (BATCHES - 1) / c) + BIAS / sizes[0]) / math.log(sizes[-1] / sizes[0])])
    checks.append(compare("slope of log Var(y) in log m", slope, a.array(np.array([-1.0])), wide, a, axes=()))
    if record.still is not None:
        still = record.expected_still
        exact, limit = a.float64(still.forward.y)[:, 0], still.e_y[:, 0]
        checks += [compare("y of the same example in evaluation", y, a.array(exact), limit, a, axes=("channel",))
                   for y in record.still]  # fmt: skip
    return worst_of(*checks)


def predict_jitter(record: JitterRecord) -> Floats:
    """s + xh skew s^1.5 + xh^2 (kurtosis - 1)/4 with s = 1 - delta and xh = (x - mean) r: the claim, eps included."""
    share = record.scale.reshape(-1) ** 2 / (record.scale.reshape(-1) ** 2 + record.stage.case.eps)
    xhat = record.places * np.sqrt(share)
    skew, kurtosis = (np.array([getattr(p, name) for p in record.populations]) for name in ("skew", "kurtosis"))
    return np.asarray(share + xhat * skew * share**1.5 + (xhat * share) ** 2 * (kurtosis - 1) / 4)


def bound_variance(checks: int) -> float:
    """How far a sample variance of BATCHES normal values may be from the true one, relative, in so many checks at once.

    Q of k degrees of freedom: P(Q > k + 2 sqrt(k t) + 2 t) <= exp(-t), and P(Q < k - 2 sqrt(k t)) <= exp(-t).
    Source: Laurent & Massart 2000, "Adaptive estimation of a quadratic functional by model selection", lemma 1.
    """
    k, t = BATCHES - 1, math.log(2 * checks / FALSE_ALARM)
    return 2 * math.sqrt(t / k) + 2 * t / k


LARGEST_EPS = 1e-3
"""Of the digits: at gain 0.1 the variances before the layers are near 0.01."""
HALF = 0.5
"""The share of the first loss that is left: 0.11 to 0.45 with layers; without, 1.00 at gain 0.1 and 0.43 to 0.81 at
gain 10 (five shapes, four seeds each)."""
STEADY = 0.7
"""The median change of the gradient over a step, relative to the gradient, at gain 10: 0.27 to 0.49 with layers, 1.05
to 1.65 without."""


def judge_c6(record: DigitsRecord) -> Judgement:
    """Losses at either gain, and the change of the gradient at the larger; telling where it is worse without layers."""
    if record.stage.case.eps > LARGEST_EPS or record.stage.case.channels < LEAST_WIDTH:
        return VACUOUS
    large = GAINS[-1]
    checks = [
        _stay_below(f"share of the loss left at gain {gain:g}", fall_of(record.layered[gain]), HALF)
        for gain in GAINS
        if fall_of(record.bare[gain]) > HALF
    ]
    if change_of(record.bare[large]) > STEADY:
        moved = change_of(record.layered[large])
        checks.append(_stay_below(f"change of the gradient in a step at gain {large:g}", moved, STEADY))
    return worst_of(*checks)


def fall_of(run: Training) -> float:
    """The mean of the last five losses over the first; infinite where the loss was not finite any more."""
    return float(run.losses[-5:].mean() / run.losses[0]) if np.isfinite(run.losses).all() else math.inf


def change_of(run: Training) -> float:
    """The median change of the gradient in a step."""
    return float(np.median(run.changes)) if run.changes.size else math.inf


def _stay_below(quantity: str, seen: float, limit: float) -> Judgement:
    ratio = seen / limit if math.isfinite(seen) else math.inf
    return Judgement(ratio, True, quantity, f"{seen:.3g}", f"below {limit:g}")
