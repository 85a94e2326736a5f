"""The layer that lives through a random history, and what is written down on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import numpy as np

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import Array, Grad, Gradients, Layer, Pass, Reenters, State, SubjectError
from bnspec.spec.dialects import is_frozen

from ..acting import Played, Stage, attempt, play
from .history_record import Answer, Held, Output, RandomHistoryRecord, Step
from .life_record import Call
from .states import keep_offered


@dataclass(frozen=True, eq=False)
class Waiting:
    """A forward whose backward is still to come: of which layer, and how often one was written to before."""

    call: Call
    kept: Pass
    layer: Layer
    writes: int


class Actor:
    """The layer on stage and the passes that wait for their backwards.

    `count` is that of the training batches, for layers without a counter. The stage changes as the layer is tuned or
    converted.
    """

    def __init__(self, stage: Stage) -> None:
        self.first = self.stage = stage
        self.waiting = list[Waiting]()
        self.last: tuple[Pass, Batch] | None = None
        self.count = self.writes = 0
        self.layer = self.make(keep_offered(stage, make_state(stage.case)))
        self._steps, self._passes = list[Step](), list[tuple[int, Played]]()
        self._left = list[tuple[Layer, State]]()

    @property
    def step(self) -> Step:
        return self._steps[-1]

    def offers(self, ability: str) -> bool:
        return self.stage.subject.offers(ability)

    def play(self, place: int, name: str, act: Callable[[], None]) -> bool:
        """Go through one act; False where the layer raised, where nothing can follow."""
        self._steps.append(Step(place, name))
        try:
            act()
        except SubjectError as error:
            self.step.error = error
        return self.step.error is None

    def make(self, state: State) -> Layer:
        layer = self.stage.subject.make_layer(self.stage.case, self.stage.device)
        layer.load(state)
        return layer

    def draw_batch(self, examples: int) -> Batch:
        """A batch of so many examples, of two at least where an example holds one value a channel."""
        place, (_, channels, *positions) = self.step.place, self.stage.case.shape
        if positions:
            positions[-1] = int(self.stage.case.random(f"size {place}").randint(1, 2 * positions[-1] + 1))
        examples = max(examples, 2) if int(np.prod(positions)) == 1 else examples
        return make_batch(self.stage.case, f"act {place}", shape=(examples, channels, *positions))

    def draw_state(self) -> State:
        """Other parameters and buffers."""
        return keep_offered(self.stage, make_state(self.stage.case, f"act {self.step.place}"))

    def run(self, batch: Batch, run: Callable[[], Pass], *, training: bool, grad: Grad, answered: bool = True) -> Call:
        """One pass, and its backward at once where it is to be `answered` and something needs a gradient."""
        before = self.layer.state()
        count = self.count if before.batches is None else before.batches
        answered &= self.offers("gradients") and grad.x
        played = play(run, self.layer.state, batch.dy if answered else None)
        call = Call(self.stage, training, batch, before, count, played)
        self.step.calls.append(call)
        self._passes.append((self.step.place, played))
        kept = played.forward.get()
        if answered:
            self.step.answers.append(Answer((call,), attempt(lambda: _one(played.gradients.get())), wanted=grad))
        if training:
            self.count += 1
            self.last = kept, batch
            self.forget_readers()
        return call

    def wait(self, call: Call) -> None:
        """Leave the backward of a pass to a later act."""
        self.waiting.append(Waiting(call, call.played.forward.get(), self.layer, self.writes))

    def forget_readers(self) -> None:
        """Passes that read buffers, which have changed, are waited for no longer: G14 is about these."""
        reads = is_frozen(self.stage.subject.dialect)
        self.waiting = [each for each in self.waiting if each.call.training and not reads]

    def answer(self, chosen: list[Waiting]) -> None:
        """The backward of each, or one of all where they are of this layer and nothing was written since."""
        before = self.layer.state()
        written = [each.writes < self.writes for each in chosen]
        together = not any(written) and all(each.layer is self.layer for each in chosen)
        if len(chosen) > 1 and together:
            passes, dys = [each.kept for each in chosen], [each.call.batch.dy for each in chosen]
            joined = attempt(lambda: tuple(cast(Reenters, self.layer).add_up(passes, dys)))
            self.step.answers.append(Answer(tuple(each.call for each in chosen), joined))
        else:
            for each, may_refuse in zip(chosen, written, strict=True):
                answered = attempt(lambda: _one(each.kept.backward(each.call.batch.dy)))  # noqa: B023  # called at once
                self.step.answers.append(Answer((each.call,), answered, may_refuse))
        self.waiting = [each for each in self.waiting if each not in chosen]
        self.hold(before)

    def hold(self, wanted: State, *, counted: bool = True) -> None:
        """Write down that the layer is to be in this state now."""
        self.step.states.append(Held(self.layer.state(), wanted, counted=counted))

    def write(self, written: State) -> None:
        """Write to the layer what is not None."""
        before = self.layer.state()
        self.layer.load(written)
        self.writes += 1
        if written.running_mean is not None:
            self.forget_readers()
        arrays = {name: value for name, value in vars(written).items() if name != "batches" and value is not None}
        changes = {name: shape_like(value, getattr(before, name)) for name, value in arrays.items()}
        self.hold(replace(before, **changes))  # type: ignore[arg-type]  # the names are those of arrays

    def give_way(self, successor: Layer) -> None:
        """Another layer goes on; this one is looked at again in the end."""
        self._left.append((self.layer, self.layer.state()))
        self.layer, self.last = successor, None

    def finish(self) -> RandomHistoryRecord:
        """Look back at the layers that were replaced, which the last step answers for, and at all outputs."""
        if self._steps and self.step.error is None:
            whose = " of a layer that was replaced"
            self.step.states += [Held(layer.state(), left, whose) for layer, left in self._left]
        outputs = [
            Output(place, played.y, attempt(lambda: played.forward.get().read("y")))  # noqa: B023  # called at once
            for place, played in self._passes
        ]
        return RandomHistoryRecord(self.first, tuple(self._steps), tuple(outputs))


def _one(gradients: Gradients) -> tuple[Gradients, ...]:
    return (gradients,)


def shape_like(value: Array | None, like: Array | None) -> Array | None:
    """In the shape that the layer has, (1, C) say."""
    return value if value is None or like is None or value.size != like.size else value.reshape(like.shape)
