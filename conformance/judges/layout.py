"""Family L: layouts of what is no batch, of axes of length one, and of what is handed out."""

from __future__ import annotations

from ..compare import VACUOUS, Judgement, differs, worst_of
from ..experiments.layouts import ArgumentsRecord, FormatsRecord, SinglesRecord
from .forward import judge_output
from .gradients import judge_gradients
from .running import judge_buffers


def judge_l5(record: ArgumentsRecord) -> Judgement:
    """Output and update under another layout of parameters and buffers."""
    checks = []
    for layout, training, played in record.passes:
        when = f" in {_mode(training)} with {layout} parameters and buffers"
        checks.append(judge_output(played, record.expected(training), record.batch.x.shape, f"y{when}"))
        if training and record.start.running_mean is not None:
            after = f"one batch into {layout} buffers"
            checks.append(judge_buffers(played.after_forward.get(), record.expected_buffers, record.stage, after))
    return worst_of(*checks)


def judge_l8(record: ArgumentsRecord) -> Judgement:
    """Gradients under another layout of parameters and buffers."""
    checks = []
    for layout, training, played in record.passes:
        exact, bound = record.expected_gradients(training)
        when = f" in {_mode(training)} with {layout} parameters and buffers"
        told = record.expected(training).informative
        gradients, shape = played.gradients.get(), record.batch.x.shape
        checks.append(judge_gradients(gradients, exact, bound, record.stage, shape, told, when=when))
    return worst_of(*checks)


def _mode(training: bool) -> str:
    return "training" if training else "evaluation"


def judge_l6(record: FormatsRecord) -> Judgement:
    """y and dx have the strides of x, with the channel innermost."""
    x = record.x
    if x.ndim < 4 or x.flags.c_contiguous:
        return VACUOUS
    wanted = tuple(stride // x.itemsize for stride in x.strides)
    checks = []
    for training, y, dx in record.passes:
        mode = _mode(training)
        checks.append(differs(f"strides of y in {mode}", y.get().strides, wanted))
        described = dx.get()
        if described is not None:
            checks.append(differs(f"strides of dx in {mode}", described.strides, wanted))
    return worst_of(*checks)


def judge_l7(record: SinglesRecord) -> Judgement:
    """Output and gradients, whatever stride an axis of length one carries."""
    stage, checks = record.stage, []
    for axis, stride, batch, start, played in record.passes:
        when = f" where axis {axis} has length 1 and stride {stride}"
        expected = record.expected(batch, start)
        checks.append(judge_output(played, expected, batch.x.shape, f"y{when}"))
        if stage.subject.offers("gradients"):
            exact, bound = expected.differentiate(batch.dy)
            gradients, told = played.gradients.get(), expected.informative
            checks.append(judge_gradients(gradients, exact, bound, stage, batch.x.shape, told, when=when))
    return worst_of(*checks)
