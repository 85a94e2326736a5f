"""Gradients of gradients, one question at a time, and tangents carried forward."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import cast

import numpy as np

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import Array, By, DifferentiatesTwice, Grad, Gradients, PushesForward, State

from ..acting import Attempt, Stage, attempt
from ..expected import ExpectedPass, expect_evaluation, expect_training
from .states import keep_offered


@dataclass(frozen=True)
class Question:
    """The gradient by one thing of L2 along some directions, while `grad` need gradients; `zero` where it must vanish.

    `curved`: of a loss that is nonlinear in y.
    """

    by: By
    grad: Grad
    along: Gradients
    curved: bool
    zero: bool
    answer: Attempt[Array | None]


@dataclass(frozen=True)
class Push:
    """Tangents of x, gamma and beta, and what came of them: y and its own."""

    along: Gradients
    answer: Attempt[tuple[Array, Array | None]]


@dataclass(frozen=True)
class DerivativeRecord:
    """One pass and what was asked of it."""

    stage: Stage
    batch: Batch
    start: State
    questions: tuple[Question, ...] = ()
    pushes: tuple[Push, ...] = ()

    @cached_property
    def expected(self) -> ExpectedPass:
        expect = expect_training if self.stage.case.training else expect_evaluation
        return expect(self.stage.terms, self.batch.x, self.start, self.stage.case.eps)


def _draw(stage: Stage) -> tuple[Batch, State, Gradients]:
    """A batch, a state, and directions: by x one that has a mean and a part along xhat, as an upstream gradient has."""
    case = stage.case
    plain = replace(case, upstream="drawn", upstream_layout="contiguous")
    batch, other = make_batch(case), make_batch(plain, "second")
    along, start = keep_offered(stage, make_state(case, "directions")), keep_offered(stage, make_state(case))
    u = (other.dy + make_batch(plain).dy).astype(batch.x.dtype)
    return batch, start, Gradients(u, along.gamma, along.beta)


def act_second_order(stage: Stage) -> DerivativeRecord:
    """Differentiate the gradients of one batch: of all that there are, of x alone, and of the parameters alone."""
    case = stage.case
    batch, start, along = _draw(stage)
    layer = stage.subject.make_layer(case, stage.device)
    everything, subsets = stage.grad, stage.subject.offers("gradient_subsets")
    none = Gradients(None, None, None)
    scenes = [(everything, along, False), (everything, along, True)]
    if subsets:
        scenes.append((Grad(x=True), replace(none, x=along.x), False))
    if subsets and (everything.gamma or everything.beta):
        scenes.append((replace(everything, x=False), replace(along, x=None), False))

    def ask(grad: Grad, along: Gradients, curved: bool) -> Iterator[Question]:
        layer.load(start)
        passed = attempt(lambda: layer.run(batch.x, training=case.training, grad=grad))
        passed.get()
        twice = cast(DifferentiatesTwice, layer)
        begun = attempt(lambda: twice.differentiate_twice(passed.get(), batch.dy, along, curved=curved))
        for by in _choose(grad):
            zero = not curved and _vanishes(by, along, coupled=case.training and stage.subject.offers(COUPLED))
            answer = attempt(lambda by=by, zero=zero: begun.get()(by, zero))  # type: ignore[misc]  # defaults bind them
            yield Question(by, grad, along, curved, zero, answer)

    return DerivativeRecord(stage, batch, start, tuple(q for scene in scenes for q in ask(*scene)))


COUPLED = "batch_statistics"


def _choose(grad: Grad) -> list[By]:
    named: list[tuple[By, bool]] = [("x", grad.x), ("gamma", grad.gamma), ("beta", grad.beta), ("dy", True)]
    return [by for by, there in named if there]


def _vanishes(by: By, along: Gradients, *, coupled: bool) -> bool:
    """Is the gradient of L2 by this zero, whatever the values: may a layer say that it does not depend on it?"""
    if by == "beta":
        return True
    if by == "gamma":
        return along.x is None
    return by == "x" and not coupled and along.gamma is None


def act_forward_mode(stage: Stage) -> DerivativeRecord:
    """Carry tangents forward: of x, gamma and beta together, and of each alone."""
    case = stage.case
    batch, start, along = _draw(stage)
    layer = stage.subject.make_layer(case, stage.device)
    none = Gradients(None, None, None)
    alone = [replace(none, **{n: getattr(along, n)}) for n in ("x", "gamma", "beta") if getattr(along, n) is not None]

    def push(along: Gradients) -> Push:
        layer.load(start)
        answer = attempt(
            lambda: cast(PushesForward, layer).push_forward(np.array(batch.x), along, training=case.training)
        )
        return Push(along, answer)

    return DerivativeRecord(stage, batch, start, pushes=tuple(push(each) for each in (along, *alone)))
