"""Family E: evaluation with the running statistics."""

from __future__ import annotations

import numpy as np

from bnspec.cases.layouts import channel_major

from ..compare import VACUOUS, Judgement, compare, compare_bits, differs, worst_of
from ..expected import expect_evaluation
from ..experiments.evaluation import EvaluationRecord
from ..experiments.exchanges import ExchangesRecord
from ..experiments.training import TrainingRecord
from .forward import judge_output
from .running import judge_buffers


def judge_e1(record: EvaluationRecord) -> Judgement:
    """y with the state of this moment: as loaded, as loaded anew, and as a training pass left it."""
    shape = record.batch.x.shape
    checks = [
        judge_output(record.first, record.expected_first, shape, "y in evaluation"),
        judge_output(record.replaced[1], record.expected(record.replaced[0]), shape, "y after one tensor was replaced"),
        judge_output(record.reloaded, record.expected(record.other), shape, "y after the state was replaced"),
    ]
    description = record.first.forward.get().describe()
    checks.append(differs("dtype of y in evaluation", description.dtype, record.stage.case.precision.storage.name))
    if record.expected_trained is not None:
        checks.append(
            judge_output(record.trained, record.expected_trained, record.larger.x.shape, "y after a training pass")
        )
    return worst_of(*checks)


def judge_e2(record: EvaluationRecord) -> Judgement:
    """The same input gives the same bits."""
    return compare_bits("y of the same input again", record.again.y.get(), record.first.y.get())


def judge_e3(record: EvaluationRecord) -> Judgement:
    """Rows evaluated alone, in part, and beside other rows are the rows of the whole batch."""
    y = record.first.y.get()
    if y.shape != record.batch.x.shape:
        return VACUOUS
    a, e_y = record.stage.terms.arithmetic, record.expected_first.e_y
    bound = np.moveaxis(e_y.reshape(y.shape[1], y.shape[0], *y.shape[2:]), 0, 1)
    checks = []
    for rows, x, played in record.parts:
        part = played.y.get()
        if part.shape != x.shape:
            return differs("shape of y of a part of the batch", part.shape, x.shape)
        kept = channel_major(part[: len(y[rows])])
        wanted = a.array(channel_major(y[rows]))
        checks.append(
            compare("y of rows beside others", kept, wanted, 2 * channel_major(bound[rows]), a,
                    informative=record.expected_first.magnitudes.gamma != 0)
        )  # fmt: skip
    return worst_of(*checks)


def judge_e4(record: EvaluationRecord) -> Judgement:
    """Forward and backward in evaluation leave every bit of the state, of the input and of the upstream gradient."""
    loaded = record.loaded.get()
    checks = [
        compare_bits(f"x after {when}", played.x_after.get(), record.batch.x)
        for when, played in (("an evaluation", record.first), ("another evaluation", record.again))
    ]
    if record.first.dy_after.get() is not None:
        checks.append(
            compare_bits("dy after the backward of an evaluation", record.first.dy_after.get(), record.batch.dy)
        )
    for when, attempted in (
        ("an evaluation", record.first.after_forward),
        ("the backward of an evaluation", record.first.after_backward),
        ("several evaluations", record.parts[-1][2].after_backward if record.parts else record.again.after_backward),
    ):
        state = attempted.get()
        checks += [
            compare_bits(f"{name} after {when}", getattr(state, name), getattr(loaded, name))
            for name in ("running_mean", "running_var", "gamma", "beta")
        ]
        checks.append(differs(f"number of batches after {when}", state.batches, loaded.batches))
    return worst_of(*checks)


def judge_f1_after_evaluation(record: EvaluationRecord) -> Judgement:
    """The output of a training pass that follows evaluations."""
    return judge_output(record.lesson, record.expected_lesson, record.batch.x.shape, "y of a batch after evaluations")


def judge_r2_after_evaluation(record: EvaluationRecord) -> Judgement:
    """The buffers after a training pass that follows evaluations."""
    record.lesson.forward.get()
    return judge_buffers(
        record.lesson.after_forward.get(), record.expected_buffers, record.stage, "a batch after evaluations"
    )


def judge_e1_of_a_new_layer(record: TrainingRecord) -> Judgement:
    """The evaluation by the initial running statistics."""
    if record.untrained is None:
        return VACUOUS
    stage, x = record.stage, record.batch.x
    expected = expect_evaluation(stage.terms, x, record.start, stage.case.eps)
    return judge_output(record.untrained, expected, x.shape, "y of a new layer in evaluation")


def judge_e6(record: ExchangesRecord) -> Judgement:
    """After one batch of weight 1, its evaluation is the training output with v replaced by the stored variance."""
    if record.learned is None:
        return VACUOUS
    record.learned.trained.forward.get()
    shape = record.batch.x.shape
    return judge_output(record.learned.evaluated, record.expected_learned, shape, "y of the batch just learned")


def judge_e7(record: ExchangesRecord) -> Judgement:
    """(rv + d, eps - d) gives the output of (rv, eps)."""
    if record.exchanged is None:
        return VACUOUS
    shape = record.batch.x.shape
    one, other = (each.played.y.get() for each in record.exchanged)
    if one.shape != shape:
        return VACUOUS
    if other.shape != shape:
        return differs("shape of y", other.shape, shape)
    a, expected = record.stage.terms.arithmetic, [record.expect(each) for each in record.exchanged]
    return compare("y at rv + d and eps - d", channel_major(other), a.array(channel_major(one)),
                   expected[0].e_y + expected[1].e_y, a, informative=expected[0].magnitudes.gamma != 0)  # fmt: skip
