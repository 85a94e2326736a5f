"""Family B: bad and degenerate input; and E5, where one value is degenerate in evaluation too."""

from __future__ import annotations

import numpy as np

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import Array, State, as_dtype, name_kind
from bnspec.spec.dialects import is_frozen

from ..acting import Played, Stage
from ..compare import VACUOUS, Fact, Judgement, compare, compare_bits, differs, want_finite, worst_of
from ..expected import Terms, expect_evaluation, expect_training
from ..expected_complex import expect_complex
from ..experiments.bad_input import Answer, BadCall, BadInputRecord, read_error
from ..experiments.training import TrainingRecord
from ..experiments.untracked import UntrackedRecord
from .forward import judge_output
from .gradients import judge_gradients

EXCEPTION = "an exception"
PARAMETERS = ("running_mean", "running_var", "gamma", "beta")


def judge_b1(record: BadInputRecord) -> Judgement:
    """A wrong number of channels is refused."""
    return worst_of(*(_refuses(call, answer) for call, answer in record.of("B1")))


def judge_b2(record: BadInputRecord) -> Judgement:
    """A single axis is refused; a rank that is not promised too, or normalised as it should be."""
    return worst_of(
        *(
            _refuses(call, answer) if call.x.ndim < 2 or answer.y is None else _is_right(record, call, answer)
            for call, answer in record.of("B2")
        )
    )


def judge_b3(record: BadInputRecord) -> Judgement:
    """All is refused or answered as it should be; integers are truncated where the dialect says so."""
    truncates = record.stage.subject.dialect.integer_input == "truncate"
    checks = []
    for call, answer in record.of("B3"):
        if answer.refused:
            checks.append(_agree(str(call)))
        elif call.x.dtype.kind == "c":
            checks.append(_is_right_in_both_parts(record, call, answer))
        elif not (truncates and call.x.dtype.kind == "i"):
            checks.append(_is_right(record, call, answer))
    return worst_of(*checks)


def judge_b4(record: BadInputRecord) -> Judgement:
    """One value per channel: in training as the dialect says, in evaluation as ever."""
    checks = []
    for call, answer in record.of("B4"):
        if not call.training or is_frozen(record.stage.subject.dialect):
            checks.append(_is_right(record, call, answer))
        else:
            checks.append(judge_one_value(record.stage, call.x, record.start, answer, str(call)))
    return worst_of(*checks)


UNTRACKED = " in evaluation without running statistics"


def judge_e5(record: UntrackedRecord) -> Judgement:
    """Evaluation without running statistics normalises with the batch, or is refused, as the dialect says."""
    stage, x = record.stage, record.batch.x
    if stage.subject.dialect.eval_without_statistics == "refuse":
        answer = _read(record.whole)
        return _agree("evaluation") if answer.refused else _unanswered("evaluation", answer, EXCEPTION)
    says = "one value per channel in evaluation without running statistics"
    checks = [judge_output(record.whole, record.expected, x.shape, f"y{UNTRACKED}")]
    if stage.subject.offers("gradients"):
        exact, bound = record.expected.differentiate(record.batch.dy)
        telling = record.expected.informative
        gradients = record.whole.gradients.get()
        checks.append(judge_gradients(gradients, exact, bound, stage, x.shape, telling, when=UNTRACKED))
    return worst_of(
        *checks,
        judge_one_value(stage, record.single.x, record.start, _read(record.alone), says),
    )


def _read(played: Played) -> Answer:
    """A pass as an answer to bad input."""
    error = played.forward.error
    return Answer(y=played.y.get()) if error is None else read_error(error)


def judge_one_value(stage: Stage, x: Array, start: State, answer: Answer, says: str) -> Judgement:
    """Whether one value per channel, normalised with the batch, is refused or answered as the dialect says."""
    rule = stage.subject.dialect.one_value
    if answer.refused:
        return _agree(says)
    if rule == "refuse":
        return _unanswered(says, answer, EXCEPTION)
    if answer.y is None:
        return _unanswered(says, answer, f"an output of shape {x.shape}")
    if answer.y.shape != x.shape or rule in ("as is", "untried"):
        return differs(f"shape of y of {says}", answer.y.shape, x.shape)
    if rule == "x":
        return compare_bits(f"y of {says}", answer.y, x)
    expected = expect_training(stage.terms, x, start, stage.case.eps)
    return compare(f"y of {says}", channel_major(answer.y), expected.forward.y, expected.e_y, stage.terms.arithmetic)


def judge_b5(record: BadInputRecord) -> Judgement:
    """An empty batch has an empty output and leaves what it should; in training it may be refused, and in evaluation
    where it has examples, but no positions."""
    rule = record.stage.subject.dialect.empty_batch
    checks = []
    for call, answer in record.of("B5"):
        if answer.refused and (call.training or call.x.shape[0]):
            checks.append(_agree(str(call)))
        elif call.training and rule == "refuse":
            checks.append(_refuses(call, answer))
        elif answer.y is None:
            checks.append(_unanswered(str(call), answer, "an empty output"))
        else:
            checks.append(differs(f"shape of y of {call}", answer.y.shape, call.x.shape))
            if rule == "untouched":
                checks.append(_leaves(call, answer, PARAMETERS[:2]))
    return worst_of(*checks)


def judge_b6(record: TrainingRecord) -> Judgement:
    """Running statistics are finite wherever a bound is claimed for them."""
    state, expected = record.played.after_forward.get(), record.expected_buffers
    record.played.forward.get()
    checks = []
    for name, bound in (("running_mean", expected.e_mean), ("running_var", expected.e_var)):
        observed = getattr(state, name)
        if observed is not None and observed.size == len(bound):
            checks.append(want_finite(f"{name} after one batch", observed.reshape(-1), np.isfinite(bound)))
    return worst_of(*checks)


def judge_b7(record: BadInputRecord) -> Judgement:
    """What was refused leaves running statistics and parameters."""
    return worst_of(*(_leaves(call, answer, PARAMETERS) for call, answer in record.answered if answer.refused))


def judge_b8(record: BadInputRecord) -> Judgement:
    """No call ends the process, and what must be refused is refused by an exception."""
    checks = []
    for call, answer in record.answered:
        if answer.ending is not None:
            checks.append(_unanswered(str(call), answer, "an exception or an output"))
        elif call.clause == "B1" or call.x.ndim < 2:
            checks.append(_refuses(call, answer))
        elif call.x.dtype.kind == "c" and not answer.refused:
            checks.append(_is_right_in_both_parts(record, call, answer))
    return worst_of(*checks)


def judge_b9(record: BadInputRecord) -> Judgement:
    """What was refused is not counted."""
    return worst_of(
        *(
            differs(f"number of batches after {call}, refused", answer.after.batches, answer.before.batches)
            for call, answer in record.answered
            if answer.refused and call.training and answer.before is not None and answer.after is not None
        )
    )


def judge_b10(record: BadInputRecord) -> Judgement:
    """An empty batch leaves finite running statistics."""
    checks = []
    for call, answer in record.of("B5"):
        for name in PARAMETERS[:2]:
            buffer = None if answer.after is None else getattr(answer.after, name)
            if buffer is None:
                checks.append(differs(f"{name} after {call}", "nothing", "an array"))
            else:
                checks.append(want_finite(f"{name} after {call}", buffer, np.ones(buffer.shape, bool)))
    return worst_of(*checks)


def _refuses(call: BadCall, answer: Answer) -> Judgement:
    return _agree(str(call)) if answer.refused else _unanswered(str(call), answer, EXCEPTION)


def _agree(says: str) -> Judgement:
    return Judgement(0.0, True, says)


def _unanswered(says: str, answer: Answer, wanted: str) -> Judgement:
    """What was wanted did not come."""
    ending = answer.ending
    timed_out = ending is not None and ending.timed_out
    got = _tell(answer)
    return Judgement(
        np.inf, True, says, got, wanted, crashed=ending is not None, timed_out=timed_out, evidence=Fact(got, wanted)
    )


def _tell(answer: Answer) -> str:
    if answer.ending is not None:
        return f"a call that {answer.ending.words}"
    if answer.y is not None:
        return f"an output of shape {answer.y.shape} of {answer.y.dtype}"
    return answer.refused or f"a call that {answer.silent}"


def _is_right_in_both_parts(record: BadInputRecord, call: BadCall, answer: Answer) -> Judgement:
    """y is complex, and its parts are those of x by the squared distance from the mean."""
    if answer.y is None:
        return _unanswered(str(call), answer, EXCEPTION)
    if answer.y.shape != call.x.shape:
        return differs(f"shape of y of {call}", answer.y.shape, call.x.shape)
    if answer.y.dtype.kind != "c":
        return differs(f"kind of numbers in y of {call}", name_kind(answer.y.dtype), name_kind(call.x.dtype))
    subject, device = record.stage.subject, record.stage.device
    terms = Terms(
        subject.dialect, subject.arithmetic("float32"), subject.rounding("float32", device), subject.algorithm
    )
    parts = expect_complex(terms, call.x, record.start, record.stage.case.eps, training=call.training)
    return worst_of(
        *(
            compare(f"{name} of y of {call}", channel_major(got), part.forward.y, part.e_y, terms.arithmetic)
            for name, got, part in zip(
                ("real part", "imaginary part"), (answer.y.real, answer.y.imag), parts, strict=True
            )
        )
    )


def _is_right(record: BadInputRecord, call: BadCall, answer: Answer) -> Judgement:
    """y is the exact answer to the values of x, in the narrower of both formats."""
    if answer.y is None:
        return _unanswered(str(call), answer, f"an output of shape {call.x.shape}")
    if answer.y.shape != call.x.shape:
        return differs(f"shape of y of {call}", answer.y.shape, call.x.shape)
    if answer.y.dtype.kind in "biuc":
        return differs(f"kind of numbers in y of {call}", name_kind(answer.y.dtype), name_kind(np.dtype(np.float64)))
    stage, x = record.stage, call.x
    dtype = stage.case.dtype if x.dtype == as_dtype(stage.case.dtype) else "float32"
    subject = stage.subject
    terms = Terms(subject.dialect, subject.arithmetic(dtype), subject.rounding(dtype, stage.device), subject.algorithm)
    expect = expect_training if call.training else expect_evaluation
    expected = expect(terms, x.astype(np.float64) if x.dtype.kind == "i" else x, record.start, stage.case.eps)
    return compare(f"y of {call}", channel_major(answer.y), expected.forward.y, expected.e_y, terms.arithmetic)


def _leaves(call: BadCall, answer: Answer, names: tuple[str, ...]) -> Judgement:
    """These parts of the state have their bits from before the call."""
    if answer.before is None or answer.after is None:
        return VACUOUS if answer.before is None else differs(f"state after {call}", "unreadable", "as before")
    return worst_of(
        *(
            compare_bits(f"{name} after {call}", getattr(answer.after, name), getattr(answer.before, name))
            for name in names
        )
    )
