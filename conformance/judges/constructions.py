"""Layers that were built without gamma, beta, both, or running statistics: the same equations."""

from __future__ import annotations

from ..acting import Played
from ..compare import VACUOUS, Judgement, worst_of
from ..experiments.unscaled import UnscaledRecord
from ..experiments.untracked import UntrackedRecord
from .forward import judge_output
from .gradients import judge_gradients
from .running import judge_buffers

UNTRACKED = " in training without running statistics"


def judge_f1_unscaled(record: UnscaledRecord) -> Judgement:
    """The training output is xhat, scaled where there is a gamma, whatever needs a gradient."""
    shape = record.batch.x.shape
    return worst_of(
        *(
            judge_output(played, record.expected_training, shape, f"y{record.without}")
            for played in (record.trained, record.silent)
        )
    )


def judge_r2_unscaled(record: UnscaledRecord) -> Judgement:
    """The running statistics learn as of any layer, whatever needs a gradient."""
    if record.start.running_mean is None:
        return VACUOUS
    checks = []
    for played in (record.trained, record.silent):
        played.forward.get()
        state = played.after_forward.get()
        checks.append(judge_buffers(state, record.expected_buffers, record.stage, f"a batch{record.without}"))
    return worst_of(*checks)


def judge_e1_unscaled(record: UnscaledRecord) -> Judgement:
    """The evaluation is (x - rm)/sqrt(rv + eps), scaled where there is a gamma."""
    if record.evaluated is None:
        return VACUOUS
    shape = record.batch.x.shape
    return judge_output(record.evaluated, record.expected_evaluation, shape, f"y in evaluation{record.without}")


def judge_g1_unscaled(record: UnscaledRecord) -> Judgement:
    """The gradients of the training pass."""
    return _judge_gradients(record, record.trained, training=True)


def judge_g2_unscaled(record: UnscaledRecord) -> Judgement:
    """The gradients of the evaluation."""
    if record.evaluated is None:
        return VACUOUS
    return _judge_gradients(record, record.evaluated, training=False)


def _judge_gradients(record: UnscaledRecord, played: Played, *, training: bool) -> Judgement:
    exact, bound = record.expected_gradients(training)
    when = f"{'' if training else ' in evaluation'}{record.without}"
    telling = record.expected(training).informative
    return judge_gradients(played.gradients.get(), exact, bound, record.stage, record.batch.x.shape, telling,
                           record.grad, when)  # fmt: skip


def judge_f1_untracked(record: UntrackedRecord) -> Judgement:
    """The training output of a layer without running statistics."""
    return judge_output(record.taught, record.expected_taught, record.lesson.x.shape, f"y{UNTRACKED}")


def judge_g1_untracked(record: UntrackedRecord) -> Judgement:
    """The gradients of a training pass of a layer without running statistics."""
    expected = record.expected_taught
    exact, bound = expected.differentiate(record.lesson.dy)
    return judge_gradients(record.taught.gradients.get(), exact, bound, record.stage, record.lesson.x.shape,
                           expected.informative, when=UNTRACKED)  # fmt: skip
