"""Family G: gradients."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import ALL, Grad, Gradients
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents, jacobian_evaluation, jacobian_training

from ..acting import Stage
from ..compare import VACUOUS, Judgement, compare, compare_bits, differs, worst_of
from ..experiments.evaluation import EvaluationRecord
from ..experiments.gradients import GradientRecord, name_grad
from ..experiments.history import HistoryRecord
from ..experiments.jacobian import JacobianRecord
from ..experiments.training import TrainingRecord

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
    subject = stage.subject
    asked = (wanted.x, wanted.gamma and subject.offers("gamma"), wanted.beta and subject.offers("beta"))
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


@lru_cache(maxsize=1)
def judge_g1(record: TrainingRecord) -> Judgement:
    """Gradients of a training pass."""
    exact, bound = record.expected_gradients
    return judge_gradients(
        record.played.gradients.get(), exact, bound, record.stage, record.batch.x.shape, record.expected.informative
    )


def judge_g1_in_history(record: HistoryRecord) -> Judgement:
    """Gradients of the third, the sixth, ... and the last of several batches."""
    checks = []
    for played, expected, batch in record.differentiated:
        exact, bound = expected.differentiate(batch.dy)
        checks.append(
            judge_gradients(played.gradients.get(), exact, bound, record.stage, batch.x.shape, expected.informative,
                            when=" of one of several batches")
        )  # fmt: skip
    return worst_of(*checks)


def judge_g1_after_evaluation(record: EvaluationRecord) -> Judgement:
    """The gradients of a training pass that follows evaluations."""
    expected = record.expected_lesson
    exact, bound = expected.differentiate(record.training_batch.dy)
    return judge_gradients(
        record.lesson.gradients.get(), exact, bound, record.stage, record.batch.x.shape, expected.informative,
        when=" of a batch after evaluations",
    )  # fmt: skip


def judge_g2(record: EvaluationRecord) -> Judgement:
    """Evaluation's gradients: on a fresh layer, after an evaluation without any, and after a training pass."""
    shape = record.batch.x.shape
    exact, bound = record.expected_gradients
    gamma = record.expected_first.magnitudes.gamma
    checks = [judge_gradients(record.first.gradients.get(), exact, bound, record.stage, shape, gamma != 0)]
    answered = record.expected(record.other)
    exact, bound = answered.differentiate(record.batch.dy)
    checks.append(
        judge_gradients(record.answered.gradients.get(), exact, bound, record.stage, shape,
                        answered.magnitudes.gamma != 0, when=" after an evaluation without gradients")
    )  # fmt: skip
    trained = record.expected_trained
    if trained is not None:
        exact, bound = trained.differentiate(record.larger.dy)
        checks.append(
            judge_gradients(record.trained.gradients.get(), exact, bound, record.stage, record.larger.x.shape,
                            trained.magnitudes.gamma != 0, when=" after a training pass")
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
        when = f" when {name_grad(grad)}"
        checks.append(judge_gradients(played.gradients.get(), exact, bound, record.stage, shape, telling, grad, when))
    return worst_of(*checks)


def judge_g4(record: JacobianRecord) -> Judgement:
    """Each row of the Jacobian: coupled in training, diagonal in evaluation."""
    expected, shape, checks = record.expected, record.x.shape, []
    a, gamma = record.stage.terms.arithmetic, expected.magnitudes.gamma
    if expected.k is None:
        rows = jacobian_evaluation(expected.forward, expected.gamma)
    else:
        rows = jacobian_training(expected.forward, expected.gamma, expected.k)
    for place, (dy, played) in enumerate(record.rows):
        dx = played.gradients.get().x
        if dx is None or dx.shape != shape:
            got = "no gradient" if dx is None else f"shape {dx.shape}"
            return differs("dx of a one-hot upstream gradient", got, f"shape {shape}")
        bound = expected.differentiate(dy)[1].x
        checks.append(
            compare(f"dy_i/dx_j, i = {place}", channel_major(dx), rows[:, place, :], bound, a,
                    informative=expected.informative & (gamma != 0))
        )  # fmt: skip
    return worst_of(*checks)
