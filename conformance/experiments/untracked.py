"""A layer that was built without running statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import NONE, Grad, State

from ..acting import Played, Stage, play
from ..expected import ExpectedPass, expect_training
from .states import keep_offered


@dataclass(frozen=True)
class UntrackedRecord:
    """Evaluations of a batch, and of `single`, the first value of each channel, after it was `taught` a lesson."""

    stage: Stage
    batch: Batch
    single: Batch
    start: State
    lesson: Batch
    taught: Played
    whole: Played
    alone: Played

    @cached_property
    def expected(self) -> ExpectedPass:
        """What training gives, which normalises with the batch."""
        return expect_training(self.stage.terms, self.batch.x, self.start, self.stage.case.eps)

    @cached_property
    def expected_taught(self) -> ExpectedPass:
        return expect_training(self.stage.terms, self.lesson.x, self.start, self.stage.case.eps)


def act_untracked(stage: Stage) -> UntrackedRecord:
    """Train and evaluate without running statistics."""
    case = stage.case
    batch = make_batch(case)
    one = tuple(slice(None) if axis == 1 else slice(1) for axis in range(batch.x.ndim))
    single = Batch(batch.x[one].copy(), batch.dy[one].copy())
    start = replace(keep_offered(stage, make_state(case)), running_mean=None, running_var=None, batches=None)
    layer = stage.subject.make_layer(case, stage.device, tracked=False)
    layer.load(start)
    lesson = make_batch(case, "training")

    def run(one: Batch, grad: Grad, training: bool = False) -> Played:
        dy = one.dy if grad.x else None
        return play(lambda: layer.run(one.x, training=training, grad=grad), layer.state, dy)

    taught = run(lesson, stage.grad, training=True)  # which must leave nothing to evaluate by
    whole, alone = run(batch, stage.grad), run(single, NONE)
    return UntrackedRecord(stage, batch, single, start, lesson, taught, whole, alone)
