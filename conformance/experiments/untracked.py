"""A layer that was built without running statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import NONE, State

from ..acting import Played, Stage, play
from ..expected import ExpectedPass, expect_training
from .states import keep_offered


@dataclass(frozen=True)
class UntrackedRecord:
    """Evaluations of a batch, and of `single`, the first value of each channel."""

    stage: Stage
    batch: Batch
    single: Batch
    start: State
    whole: Played
    alone: Played

    @cached_property
    def expected(self) -> ExpectedPass:
        """What training gives, which normalises with the batch."""
        return expect_training(self.stage.terms, self.batch.x, self.start, self.stage.case.eps)


def act_untracked(stage: Stage) -> UntrackedRecord:
    """Evaluate without running statistics."""
    case = stage.case
    batch = make_batch(case)
    one = tuple(slice(None) if axis == 1 else slice(1) for axis in range(batch.x.ndim))
    single = Batch(batch.x[one].copy(), batch.dy[one].copy())
    start = replace(keep_offered(stage, make_state(case)), running_mean=None, running_var=None, batches=None)
    layer = stage.subject.make_layer(case, stage.device, tracked=False)
    layer.load(start)
    layer.run(make_batch(case, "training").x, training=True)  # which must leave nothing to evaluate by

    def evaluate(one: Batch) -> Played:
        return play(lambda: layer.run(one.x, training=False, grad=NONE), layer.state, None)

    return UntrackedRecord(stage, batch, single, start, evaluate(batch), evaluate(single))
