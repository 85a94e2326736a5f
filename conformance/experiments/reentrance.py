"""Passes of one layer that wait for their backwards while others run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import cast

import numpy as np

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import Gradients, Layer, Pass, Recomputes, Reenters, State, Switches
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents

from ..acting import Attempt, Played, Stage, attempt, play
from ..expected import ExpectedBuffers, ExpectedPass, begin_buffers, expect_evaluation, expect_training, update_buffers
from .states import keep_offered


@dataclass(frozen=True)
class Scene:
    """What one backward gave that did not directly follow its forward.

    `forward` names it: "first" and "second" are training passes of the two batches, "evaluated" an evaluation of the
    first. `when` says what came in between; where that was a write, the backward `may_refuse`.
    """

    forward: str
    when: str
    gradients: Attempt[Gradients]
    may_refuse: bool = False


@dataclass(frozen=True)
class ReentranceRecord:
    """`scenes` in which nothing trained between an evaluation and its backward, and `late`, in which something did.

    `joined` are the gradients of the sum of both training passes, `accumulated` those of one that were added to the
    same, None where the layer makes its parameters anew; `trained` and `answered` the states after two forwards and
    after their backwards; `repeated` that after the same input object went in twice; `refilled` is a pass of an
    input object that held another batch before, and `recomputed` one whose forward ran again in its backward.
    """

    stage: Stage
    batches: tuple[Batch, Batch, Batch]
    start: State
    scenes: tuple[Scene, ...]
    late: Scene | None
    joined: Attempt[Sequence[Gradients]]
    accumulated: Attempt[Gradients | None]
    trained: Attempt[State]
    answered: Attempt[State]
    repeated: Attempt[State]
    refilled: Played
    recomputed: Played | None

    @cached_property
    def expected(self) -> dict[str, ExpectedPass]:
        """By the name of the forward."""
        terms, eps = self.stage.terms, self.stage.case.eps
        names = ("first", "second", "refilled")
        found = {name: expect_training(terms, self.batch_of(name).x, self.start, eps) for name in names}
        if _evaluates(self.stage):
            found["evaluated"] = expect_evaluation(terms, self.batches[0].x, self.start, eps)
        return found

    @cached_property
    def expected_gradients(self) -> dict[str, tuple[Cotangents, GradientError]]:
        return {name: each.differentiate(self.batch_of(name).dy) for name, each in self.expected.items()}

    def expected_buffers(self, *forwards: str) -> ExpectedBuffers:
        """After some training forwards, from the start."""
        buffers, count = begin_buffers(self.stage.terms, self.start), self.start.batches or 0
        for more, name in enumerate(forwards):
            buffers = update_buffers(buffers, self.expected[name], self.stage.case.momentum, count + more)
        return buffers

    def batch_of(self, forward: str) -> Batch:
        return self.batches[PLACES[forward]]


PLACES = {"first": 0, "evaluated": 0, "second": 1, "refilled": 2}
"""Which batch a forward is of."""


def _evaluates(stage: Stage) -> bool:
    return stage.subject.offers("evaluation", "running_statistics")


def act_reentrance(stage: Stage) -> ReentranceRecord:
    """Let backwards wait for one another, for evaluations, switches and writes; then add up, repeat, and recompute."""
    case = stage.case
    longer = (case.shape[0] + 1, *case.shape[1:])
    batches = make_batch(case), make_batch(case, "second", shape=longer), make_batch(case, "refilled")
    start, other = (keep_offered(stage, make_state(case, stream)) for stream in ("state", "other"))
    rehearsal = _Rehearsal(stage, stage.subject.make_layer(case, stage.device), start, batches)
    scenes, trained, answered = rehearsal.use_twice()
    scenes += rehearsal.answer_twice()
    scenes.append(rehearsal.interrupt("first", " when two later forwards wait as well", rehearsal.forward_twice))
    late = None
    if _evaluates(stage):
        scenes.append(rehearsal.interrupt("first", " after an evaluation", lambda: rehearsal.forward("evaluated")))
        late = rehearsal.interrupt(
            "evaluated", " after a training forward", lambda: rehearsal.forward("second"), may_refuse=True
        )
    for name in ("first", "evaluated") if _evaluates(stage) else ("first",):
        scenes += rehearsal.disturb(name, other)
    # An experiment of its own: checkpointing imports torch's compiler, which takes longer than a block.
    recomputed = rehearsal.recompute() if case.experiment == "recomputation" else None
    joined, accumulated = rehearsal.add_up(), rehearsal.accumulate()
    repeated, refilled = rehearsal.repeat(), rehearsal.refill()
    return ReentranceRecord(
        stage,
        batches,
        start,
        tuple(scenes),
        late,
        joined,
        accumulated,
        trained,
        answered,
        repeated,
        refilled,
        recomputed,
    )


@dataclass(frozen=True)
class _Rehearsal:
    """One layer and what is played with it; every scene begins from the same state."""

    stage: Stage
    layer: Layer
    start: State
    batches: tuple[Batch, Batch, Batch]

    def forward(self, name: str) -> Pass:
        batch = self.batches[PLACES[name]]
        return self.layer.run(batch.x, training=name != "evaluated", grad=self.stage.grad)

    def forward_twice(self) -> tuple[Pass, Pass]:
        return self.forward("second"), self.forward("second")

    def backward(self, name: str, waiting: Attempt[Pass]) -> Attempt[Gradients]:
        return attempt(lambda: waiting.get().backward(self.batches[PLACES[name]].dy))

    def use_twice(self) -> tuple[list[Scene], Attempt[State], Attempt[State]]:
        """Two forwards, then their backwards in either order; the states after the forwards and the backwards."""
        scenes = []
        for names in (("second", "first"), ("first", "second")):
            self.layer.load(self.start)
            waiting = {name: attempt(lambda: self.forward(name)) for name in ("first", "second")}  # noqa: B023  # called at once
            trained = attempt(self.layer.state)
            order = f" when two forwards wait and the {names[0]} is answered first"
            scenes += [Scene(name, order, self.backward(name, waiting[name])) for name in names]
        return scenes, trained, attempt(self.layer.state)

    def answer_twice(self) -> list[Scene]:
        """One forward and two backwards, the second of which may refuse."""
        self.layer.load(self.start)
        waiting, dy = attempt(lambda: self.forward("first")), self.batches[0].dy
        both = attempt(lambda: cast(Reenters, self.layer).answer_twice(waiting.get(), dy))
        if both.error is not None:
            return [Scene("first", " which keeps its graph", Attempt(error=both.error))]
        first, again = both.get()
        kept = [Scene("first", " which keeps its graph", Attempt(first))]
        return [*kept, Scene("first", " a second time", attempt(again), may_refuse=True)]

    def accumulate(self) -> Attempt[Gradients | None]:
        """The backward of a pass twice, the second time to parameters that have the gradients of the first."""
        self.layer.load(self.start)
        layer, dy = cast(Reenters, self.layer), self.batches[0].dy
        return attempt(lambda: layer.accumulate(self.forward("first"), dy, self.forward("first").backward(dy)))

    def interrupt(self, name: str, when: str, act: Callable[[], object], *, may_refuse: bool = False) -> Scene:
        """A forward, an act, and the forward's backward."""
        self.layer.load(self.start)
        waiting = attempt(lambda: self.forward(name))
        acted = attempt(act)
        gradients = self.backward(name, waiting) if acted.error is None else Attempt[Gradients](error=acted.error)
        return Scene(name, when, gradients, may_refuse)

    def disturb(self, name: str, other: State) -> list[Scene]:
        """Interrupt a pass by a change of mode and by writes."""
        scenes, offers = [], self.stage.subject.offers
        if offers("switches"):
            switch = cast(Switches, self.layer).switch
            scenes.append(self.interrupt(name, " after a change of mode", lambda: switch(name == "evaluated")))
        for ability, what, written in (
            ("affine", "parameters", State(other.gamma, other.beta)),
            ("running_statistics", "buffers", State(running_mean=other.running_mean, running_var=other.running_var)),
        ):
            if offers(ability):
                write = partial(self.layer.load, written)
                scenes.append(self.interrupt(name, f" after a write to {what}", write, may_refuse=True))
        return scenes

    def repeat(self) -> Attempt[State]:
        """The state after two forwards of one input object."""
        self.layer.load(self.start)
        layer, grad = cast(Reenters, self.layer), self.stage.grad
        passed = attempt(lambda: layer.run_again(self.forward("first"), training=True, grad=grad))
        return Attempt(error=passed.error) if passed.error is not None else attempt(self.layer.state)

    def refill(self) -> Played:
        """A pass of an input object after its contents were replaced, as who keeps one buffer for all batches does."""
        self.layer.load(self.start)
        layer, grad, x = cast(Reenters, self.layer), self.stage.grad, self.batches[PLACES["refilled"]].x
        plain = np.ascontiguousarray(self.batches[0].x)  # nobody can write to an expanded one

        def run() -> Pass:
            return layer.run_again(self.layer.run(plain, training=True, grad=grad), training=True, grad=grad, x=x)

        return play(run, self.layer.state, None)

    def recompute(self) -> Played:
        self.layer.load(self.start)
        layer, batch = cast(Recomputes, self.layer), self.batches[0]
        return play(lambda: layer.recompute(batch.x, self.stage.grad), self.layer.state, batch.dy)

    def add_up(self) -> Attempt[Sequence[Gradients]]:
        self.layer.load(self.start)
        dys = [batch.dy for batch in self.batches[:2]]
        return attempt(lambda: cast(Reenters, self.layer).add_up([self.forward("first"), self.forward("second")], dys))


@dataclass(frozen=True)
class SwitchRecord:
    """A pass and its gradients, between which the mode was changed."""

    stage: Stage
    batch: Batch
    start: State
    gradients: Attempt[Gradients]

    @cached_property
    def expected(self) -> ExpectedPass:
        expect = expect_training if self.stage.case.training else expect_evaluation
        return expect(self.stage.terms, self.batch.x, self.start, self.stage.case.eps)


def act_switch(stage: Stage) -> SwitchRecord:
    """Change the mode between a forward and its backward, as who evaluates a model before `backward` does."""
    case = stage.case
    batch, start = make_batch(case), keep_offered(stage, make_state(case))
    layer = stage.subject.make_layer(case, stage.device)
    layer.load(start)
    waiting = attempt(lambda: layer.run(batch.x, training=case.training, grad=stage.grad))
    if waiting.error is None:
        cast(Switches, layer).switch(not case.training)
    return SwitchRecord(stage, batch, start, attempt(lambda: waiting.get().backward(batch.dy)))
