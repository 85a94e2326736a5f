"""Family G: second order and forward mode. An error is allowed, and no answer: not offered."""

from __future__ import annotations

import numpy as np

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import Array

from ..compare import REFUSED, Judgement, compare, differs, worst_of
from ..expected_twice import Bounded, expect_pushed, expect_second
from ..experiments.gradients import name_grad
from ..experiments.second_order import DerivativeRecord, Question

SHARP = 0.1
"""A channel tells something where the bound is at most this share of its largest exact value."""


def judge_g10(record: DerivativeRecord) -> Judgement:
    """Each answer to a question for a second derivative is right; an error is none.

    What is refused alone is not judged as a part: of a loss that is nonlinear in y the rest would come out without it.
    """
    checks, expected = [], dict[tuple[int, bool], dict[str, Bounded]]()
    refused = {question.by for question in record.questions if _is_refused(question)}
    for question in record.questions:
        key = id(question.along), question.curved
        if _is_refused(question) or (question.curved and question.by in refused):
            checks.append(REFUSED)
            continue
        if key not in expected:
            expected[key] = expect_second(record.expected, record.batch.dy, question.along, curved=question.curved)
        answer = question.answer.get()
        if answer is not None or not question.zero:
            checks.append(_judge(record, _name(question), answer, expected[key][question.by]))
    return worst_of(*checks)


def judge_g13(record: DerivativeRecord) -> Judgement:
    """Each tangent that comes out is right; where none does, as of most custom operations, none is offered."""
    checks = []
    for push in record.pushes:
        if push.answer.error is not None or push.answer.get()[1] is None:
            checks.append(REFUSED)
            continue
        moved = [name for name in ("x", "gamma", "beta") if getattr(push.along, name) is not None]
        quantity = f"tangent of y for {' and '.join(moved)}"
        checks.append(_judge(record, quantity, push.answer.get()[1], expect_pushed(record.expected, push.along)))
    return worst_of(*checks)


def _judge(record: DerivativeRecord, quantity: str, got: Array | None, wanted: Bounded) -> Judgement:
    a, per_value = record.stage.terms.arithmetic, wanted.bound.ndim > 1
    if got is None:
        return differs(quantity, "nothing", "an array")
    if per_value and got.shape != record.batch.x.shape:
        return differs(f"shape of {quantity}", got.shape, record.batch.x.shape)
    flat = channel_major(got) if per_value else got.reshape(-1)
    rows = (len(wanted.bound), -1)
    largest = np.abs(a.float64(wanted.exact)).reshape(rows).max(axis=1)
    telling = wanted.bound.reshape(rows).max(axis=1) <= SHARP * largest
    return compare(quantity, flat, wanted.exact, wanted.bound, a, informative=telling & (largest > 0))


def _is_refused(question: Question) -> bool:
    error = question.answer.error
    return error is not None and error.stage == "backward"


def _name(question: Question) -> str:
    """Gradients of gradients, in words."""
    of = [f"d{name}" for name in ("x", "gamma", "beta") if getattr(question.along, name) is not None]
    where = ", for a loss that is nonlinear in y" if question.curved else ""
    asked = (
        "" if all((question.grad.x, question.grad.gamma, question.grad.beta)) else f" when {name_grad(question.grad)}"
    )
    return f"derivative of {' and '.join(of)} by {question.by}{asked}{where}"
