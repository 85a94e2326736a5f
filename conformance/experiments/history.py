"""Several training batches in a row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import NONE, OFF, State

from ..acting import Played, Stage, attempt, play
from ..expected import ExpectedBuffers, ExpectedPass, begin_buffers, expect_training, update_buffers
from .states import keep_offered


@dataclass(frozen=True)
class HistoryRecord:
    """Several training batches of unequal sizes in a row; the last one is differentiated."""

    stage: Stage
    batches: tuple[Batch, ...]
    start: State
    played: Played
    shapes: tuple[tuple[int, ...], ...]

    @cached_property
    def expected(self) -> tuple[ExpectedPass, ExpectedBuffers]:
        """The last pass, and the running statistics with R2 unrolled."""
        stage = self.stage
        buffers, count = begin_buffers(stage.terms, self.start), self.start.batches or 0
        for batch in self.batches:
            one = expect_training(stage.terms, batch.x, self.start, stage.case.eps)
            buffers = update_buffers(buffers, one, stage.case.momentum, count)
            count += 1
        return one, buffers

    @property
    def last(self) -> ExpectedPass:
        return self.expected[0]


def act_history(stage: Stage) -> HistoryRecord:
    """Train on `steps` batches of unequal sizes from one state, without and at last with gradients."""
    case = stage.case
    random = case.random("sizes")
    batches = []
    for step in range(case.steps):
        positions = case.count // case.shape[0]
        size = int(random.randint(1, 2 * case.shape[0] + 2))
        shape = (max(size, 2) if positions == 1 else size, *case.shape[1:])
        batches.append(make_batch(case, f"batch {step}", shape=shape))
    start = make_state(case, batches=0)
    layer = stage.subject.make_layer(case, stage.device)
    layer.load(keep_offered(stage, replace(start, batches=None)))
    shapes = []
    for step, batch in enumerate(batches[:-1]):
        grad = (NONE, OFF, stage.grad)[step % 3]
        passed = attempt(lambda: layer.run(batch.x, training=True, grad=grad))  # noqa: B023  # called at once
        if passed.error is not None:
            raise passed.error
        shapes.append(batch.x.shape)
    last = batches[-1]
    dy = last.dy if stage.subject.offers("gradients") else None
    played = play(lambda: layer.run(last.x, training=True, grad=stage.grad), layer.state, dy)
    return HistoryRecord(stage, tuple(batches), keep_offered(stage, start), played, (*shapes, last.x.shape))
