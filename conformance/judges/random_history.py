"""S5: every step of a random history, against a model that follows the formulas from the state before it."""

from __future__ import annotations

from collections.abc import Iterator

from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents

from ..compare import VACUOUS, Judgement, compare_bits, worst_of
from ..experiments.history_record import Answer, RandomHistoryRecord, Step
from .gradients import judge_gradients
from .reentrance import REFUSED
from .state import ARRAYS, judge_arrays, judge_call, judge_same


def judge_s5(record: RandomHistoryRecord) -> Judgement:
    """The first step that is off; outputs are read again at the end, and are those of their steps."""
    passed = []
    for step in record.steps:
        passed.append(worst_of(*_judge_step(step)))
        if passed[-1].failed:
            return passed[-1]
    later = (
        compare_bits(f"y of act {each.place}, read again at the end,", each.later.get(), each.at_once.get())
        for each in record.outputs
    )
    return worst_of(*passed, *later)


def _judge_step(step: Step) -> Iterator[Judgement]:
    """Passes, gradients and states, then what the act raised."""
    when = f"in act {step.place}, {step.act}"
    for call in step.calls:
        call.played.forward.get()
        yield judge_call(call, when)
    for answer in step.answers:
        yield from _judge_answer(answer, f" {when}")
    for held in step.states:
        whose = f"{when}{held.of}"
        yield (
            judge_same(held.observed, held.wanted, whose)
            if held.counted
            else judge_arrays(held.observed, held.wanted, ARRAYS, whose)
        )
    if step.error is not None:
        raise step.error


def _judge_answer(answer: Answer, when: str) -> Iterator[Judgement]:
    """dx of each forward, and the sums of dgamma and dbeta."""
    error = answer.gradients.error
    if answer.may_refuse and error is not None and error.stage == "backward":
        yield REFUSED
        return
    passes = [call.expected for call in answer.calls]
    pairs = [each.differentiate(call.batch.dy) for each, call in zip(passes, answer.calls, strict=True) if each]
    if len(pairs) < len(passes):
        yield VACUOUS
        return
    gamma, beta, e_gamma, e_beta = pairs[0][0].gamma, pairs[0][0].beta, pairs[0][1].gamma, pairs[0][1].beta
    for more, bound in pairs[1:]:
        gamma, beta, e_gamma, e_beta = gamma + more.gamma, beta + more.beta, e_gamma + bound.gamma, e_beta + bound.beta
    for call, expected, gradients, (own, bound) in zip(
        answer.calls, passes, answer.gradients.get(), pairs, strict=True
    ):
        assert expected is not None
        telling = expected.informative & (expected.magnitudes.gamma != 0)
        exact, limit = Cotangents(own.x, gamma, beta), GradientError(bound.x, e_gamma, e_beta)
        yield judge_gradients(gradients, exact, limit, call.stage, call.batch.x.shape, telling, answer.wanted, when)
