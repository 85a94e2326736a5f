"""One training pass and its backward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import NONE, Description, State
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents, weight_of_new_batch

from ..acting import Attempt, Played, Stage, attempt, play
from ..expected import ExpectedBuffers, ExpectedPass, begin_buffers, expect_training, update_buffers
from .states import initial_state, keep_offered


@dataclass(frozen=True, eq=False)
class TrainingRecord:
    """One training pass from a known state. `initial` is the state before it, as read; `start` as it must be.

    `untrained` is an evaluation by another layer, new as well, where the case is of new layers.
    """

    stage: Stage
    batch: Batch
    start: State
    initial: Attempt[State]
    played: Played
    buffers: tuple[Attempt[Description | None], ...]
    untrained: Played | None

    @cached_property
    def expected(self) -> ExpectedPass:
        return expect_training(self.stage.terms, self.batch.x, self.start, self.stage.case.eps)

    @cached_property
    def expected_gradients(self) -> tuple[Cotangents, GradientError]:
        return self.expected.differentiate(self.batch.dy)

    @property
    def weight(self) -> float:
        """The weight of the batch in the running statistics."""
        terms = self.stage.terms
        a, batches = terms.arithmetic, self.start.batches or 0
        return float(a.float64(weight_of_new_batch(terms.dialect, self.stage.case.momentum, batches, a)))

    @cached_property
    def expected_buffers(self) -> ExpectedBuffers:
        begun = begin_buffers(self.stage.terms, self.start)
        return update_buffers(begun, self.expected, self.stage.case.momentum, self.start.batches or 0)


def act_training(stage: Stage) -> TrainingRecord:
    """Load a state (or leave a fresh layer as it was made), run one training batch, then its backward."""
    case = stage.case
    batch = make_batch(case)
    start = keep_offered(stage, initial_state(stage) if case.fresh else make_state(case))
    layer = stage.subject.make_layer(case, stage.device, untouched=case.fresh)
    if not case.fresh:
        layer.load(start)
    initial = attempt(layer.state)
    if case.fresh and isinstance(stage.subject.dialect.initial_var, str) and initial.value is not None:
        start = replace(start, running_var=initial.value.running_var)  # how it was rounded is R1's matter
    if case.fresh and case.seed % 2 and stage.subject.offers("late_statistics"):
        attempt(lambda: layer.run(batch.x, training=False))  # which may refuse, and must leave no trace
    dy = batch.dy if stage.subject.offers("gradients") else None
    played = play(lambda: layer.run(batch.x, training=True, grad=stage.grad), layer.state, dy)
    buffers = tuple(attempt(lambda: layer.describe(which)) for which in ("running_mean", "running_var"))  # noqa: B023  # called at once
    untrained = None
    if case.fresh and stage.subject.offers("evaluation", "initial_state"):
        other = stage.subject.make_layer(case, stage.device)
        untrained = play(lambda: other.run(batch.x, training=False, grad=NONE), other.state, None)
    return TrainingRecord(stage, batch, start, initial, played, buffers, untrained)
