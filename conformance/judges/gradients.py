"""Family G: gradients."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import ALL, Array, Grad, Gradients
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents
from bnspec.spec.precision import Number
from bnspec.spec.truncation import bound_truncation

from ..acting import Stage
from ..compare import VACUOUS, Judgement, compare, compare_bits, differs, worst_of
from ..experiments.differences import DifferencesRecord, Neighbour
from ..experiments.evaluation import EvaluationRecord
from ..experiments.gradients import GradientRecord
from ..experiments.history import HistoryRecord
from ..experiments.training import TrainingRecord
from ..experiments.weights import WeightsPass, WeightsRecord, upstream_of
from .evaluation import usable

NAMES = ("dx", "dgamma", "dbeta")


def judge_gradients(
    gradients: Gradients,
    exact: Cotangents,
    bound: GradientError,
    stage: Stage,
    shape: tuple[int, ...],
    telling: object,
    wanted: Grad = ALL,
    when: str = "",
) -> Judgement:
    """dx, dgamma and dbeta, those that were asked for, against their exact values; the others must be absent."""
    a, checks = stage.terms.arithmetic, []
    affine = stage.subject.offers("affine")
    asked = (wanted.x, wanted.gamma and affine, wanted.beta and affine)
    observed = (gradients.x, gradients.gamma, gradients.beta)
    values, bounds = (exact.x, exact.gamma, exact.beta), (bound.x, bound.gamma, bound.beta)
    for name, ask, got, value, limit in zip(NAMES, asked, observed, values, bounds, strict=True):
        if not ask:
            checks.append(
                differs(f"{name}{when}, not asked for", "an array" if got is not None else "nothing", "nothing")
            )
            continue
        if got is None:
            checks.append(differs(f"{name}{when}", "no gradient", "a gradient"))
        elif name == "dx" and got.shape != shape:
            checks.append(differs(f"shape of dx{when}", got.shape, shape))
        else:
            flat = channel_major(got) if name == "dx" else got.reshape(-1)
            checks.append(compare(name + when, flat, value, limit, a, informative=telling))
    return worst_of(*checks)


def judge_g1(record: TrainingRecord) -> Judgement:
    """Gradients of a training pass."""
    exact, bound = record.expected_gradients
    return judge_gradients(
        record.played.gradients.get(), exact, bound, record.stage, record.batch.x.shape, record.expected.informative
    )


def judge_g1_in_history(record: HistoryRecord) -> Judgement:
    """Gradients of the last of several batches."""
    last = record.batches[-1]
    exact, bound = record.last.differentiate(last.dy)
    return judge_gradients(
        record.played.gradients.get(), exact, bound, record.stage, last.x.shape, record.last.informative,
        when=" of the last batch",
    )  # fmt: skip


def judge_g2(record: EvaluationRecord) -> Judgement:
    """Evaluation's gradients, on a fresh layer and after a training pass."""
    shape = record.batch.x.shape
    exact, bound = record.expected_gradients
    gamma = record.expected_first.magnitudes.gamma
    checks = [judge_gradients(record.first.gradients.get(), exact, bound, record.stage, shape, gamma != 0)]
    learned = usable(record.learned)
    if learned is not None:
        exact, bound = record.expected(learned).differentiate(record.batch.dy)
        checks.append(
            judge_gradients(record.trained.gradients.get(), exact, bound, record.stage, shape, gamma != 0,
                            when=" after a training pass")
        )  # fmt: skip
    return worst_of(*checks)


def judge_g6(record: GradientRecord) -> Judgement:
    """Linear in the upstream gradient, whatever its layout, and not written to."""
    shape, telling = record.batch.x.shape, record.expected.informative
    checks = []
    for dy, played in record.sums:
        played.gradients.get()
        checks.append(compare_bits("upstream gradient after the backward", played.dy_after.get(), np.asarray(dy)))
    checks.append(_judge_linear(record))
    for layout, dy, played in record.laid_out:
        exact, bound = record.expected.differentiate(dy)
        gradients = played.gradients.get()
        when = f" for an upstream gradient {layout}"
        checks.append(judge_gradients(gradients, exact, bound, record.stage, shape, telling, when=when))
        checks.append(
            compare_bits(f"upstream gradient {layout} after the backward", played.dy_after.get(), np.asarray(dy))
        )
    return worst_of(*checks)


def _judge_linear(record: GradientRecord) -> Judgement:
    """The backward of 2 dy1 - dy2, which is exact, is 2 backward(dy1) - backward(dy2)."""
    a = record.stage.terms.arithmetic
    shape = record.batch.x.shape
    answers = [played.gradients.get() for _, played in record.sums]
    bounds = [record.expected.differentiate(dy)[1] for dy, _ in record.sums]
    checks = []
    for name, pick in (("x", "dx"), ("gamma", "dgamma"), ("beta", "dbeta")):
        parts = [getattr(answer, name) for answer in answers]
        if any(part is None for part in parts) or (name == "x" and any(part.shape != shape for part in parts)):
            return VACUOUS
        one, two, both = (channel_major(part) if name == "x" else part.reshape(-1) for part in parts)
        limit = 2 * getattr(bounds[0], name) + getattr(bounds[1], name) + getattr(bounds[2], name)
        wanted = a.array(one) + a.array(one) - a.array(two)
        checks.append(
            compare(f"{pick} of 2 dy1 - dy2", both, wanted, limit, a, informative=record.expected.informative)
        )
    return worst_of(*checks)


def judge_g7(record: GradientRecord) -> Judgement:
    """Each subset of {x, gamma, beta} that needs a gradient gets the same values, and the others none."""
    exact, bound = record.expected_gradients
    shape, telling = record.batch.x.shape, record.expected.informative
    checks = []
    for grad, played in record.subsets:
        when = f" when {_name(grad)} needs a gradient"
        checks.append(judge_gradients(played.gradients.get(), exact, bound, record.stage, shape, telling, grad, when))
    return worst_of(*checks)


def _name(grad: Grad) -> str:
    return "only " + " and ".join(name for name in ("x", "gamma", "beta") if getattr(grad, name))


def judge_g11(record: WeightsRecord) -> Judgement:
    """inner(W_j, dL/dW_j) = gamma d_gamma delta, and c times dL/dW at (c W, c^2 eps) is that at (W, eps)."""
    plain, a = record.plain, record.stage.terms.arithmetic
    found = _differentiate_weights(record, plain)
    if found is None:
        return VACUOUS
    expected, (exact, error) = plain.expected, plain.gradients
    by_rows = [a.array(plain.weights[:, d]) * column for d, column in enumerate(found)]
    telling = expected.informative & (expected.magnitudes.gamma != 0)
    rstd = expected.forward.rstd
    wanted = expected.gamma * exact.gamma * a.array(np.asarray(expected.eps)) * rstd * rstd
    bound, cancelling = (_weigh(expected.x, each) for each in (error.x, np.abs(a.float64(exact.x))))
    checks = [compare("inner(W, dL/dW)", sum(by_rows[1:], by_rows[0]), wanted, bound, a,
                      informative=telling & (bound <= 0.1 * cancelling), axes=("channel",))]  # fmt: skip
    scaled = record.scaled
    other = None if scaled is None else _differentiate_weights(record, scaled)
    if scaled is not None and other is not None:
        both = error.x + record.c * scaled.gradients[1].x
        for d, (one, two) in enumerate(zip(found, other, strict=True)):
            checks.append(
                compare(f"c dL/dW at (c W, c^2 eps), input {d}", two * record.c, one, _weigh(record.inputs[d], both), a,
                        informative=telling, axes=("channel",))
            )  # fmt: skip
    return worst_of(*checks)


def _weigh(values: Array, bound: NDArray[np.float64]) -> NDArray[np.float64]:
    """sum |values| bound, a channel: what errors within the bound may add up to; no number where it is unbounded."""
    with np.errstate(all="ignore"):
        return np.asarray((np.abs(values) * bound).sum(axis=1))


def _differentiate_weights(record: WeightsRecord, passed: WeightsPass) -> list[Number] | None:
    """dL/dW, a column (C,) an input, from the layer's own dz in the exact arithmetic."""
    dz, a = upstream_of(passed), record.stage.terms.arithmetic
    return None if dz is None else [(a.array(dz) * a.array(row)).sum(axis=1) for row in record.inputs]


def judge_g12(record: DifferencesRecord) -> Judgement:
    """2 sum dx step = L(x + step) - L(x - step), d_gamma and d_beta = L one further - L, for L = sum g y."""
    shape, base = record.base.x.shape, record.base
    a, error = record.stage.terms.arithmetic, record.gradient_error
    gradients = base.played.gradients.get()
    around = [each for each in (base, record.ahead, record.behind, record.gamma, record.beta) if each is not None]
    if any(each.played.y.get().shape != shape for each in around) or gradients.x is None or gradients.x.shape != shape:
        return VACUOUS
    dy, k, eps = channel_major(record.dy), base.expected.k, base.expected.eps
    gamma, var = base.expected.magnitudes.gamma, a.float64(base.expected.forward.var)
    off = 0.0 if k is None else bound_truncation(record.step, dy.astype(np.float64), gamma, var, eps, k)
    along = (a.array(channel_major(gradients.x)) * a.array(record.step)).sum(axis=1)
    limit = 2 * _weigh(record.step, error.x) + off
    checks = [_judge_difference("2 sum dx step", along + along, limit, record.ahead, record.behind, record)]
    for name, got, limit, neighbour in (
        ("dgamma", gradients.gamma, error.gamma, record.gamma),
        ("dbeta", gradients.beta, error.beta, record.beta),
    ):
        if neighbour is not None and got is not None and got.size == len(dy):
            checks.append(_judge_difference(name, a.array(got.reshape(-1)), limit, neighbour, base, record))
    return worst_of(*checks)


def _judge_difference(
    name: str, gradient: Number, bound: NDArray[np.float64], one: Neighbour, other: Neighbour, record: DifferencesRecord
) -> Judgement:
    """A derivative within `bound` against a difference of the layer's own L; useful where a hundredth would show."""
    a, dy = record.stage.terms.arithmetic, channel_major(record.dy)
    loss = [(a.array(channel_major(each.played.y.get())) * a.array(dy)).sum(axis=1) for each in (one, other)]
    wanted = loss[0] - loss[1]
    bound = bound + _weigh(dy, one.expected.e_y + other.expected.e_y)
    telling = bound <= 0.01 * np.abs(a.float64(wanted))
    return compare(f"{name}, beside the difference of the outputs,", gradient, wanted, bound, a, informative=telling,
                   axes=("channel",))  # fmt: skip
