"""Several training batches in a row."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import NONE, OFF, State

from ..acting import Played, Stage, attempt, play
from ..expected import ExpectedBuffers, ExpectedPass, begin_buffers, expect_training, update_buffers
from .states import keep_offered


@dataclass(frozen=True)
class HistoryRecord:
    """Several training batches of unequal sizes in a row, with evaluations in between.

    `passes` holds all training passes; every third is differentiated, and the last. `count` batches were seen before.
    """

    stage: Stage
    batches: tuple[Batch, ...]
    start: State
    count: int
    passes: tuple[Played, ...]

    @cached_property
    def expected(self) -> tuple[tuple[ExpectedPass, ...], ExpectedBuffers]:
        """The passes, and the running statistics with R2 unrolled."""
        stage, passes = self.stage, []
        buffers = begin_buffers(stage.terms, self.start)
        for count, batch in enumerate(self.batches, self.count):
            passes.append(expect_training(stage.terms, batch.x, self.start, stage.case.eps))
            buffers = update_buffers(buffers, passes[-1], stage.case.momentum, count)
        return tuple(passes), buffers

    @property
    def differentiated(self) -> tuple[tuple[Played, ExpectedPass, Batch], ...]:
        """The passes whose gradients were asked for."""
        steps = zip(self.passes, self.expected[0], self.batches, strict=True)
        return tuple(each for step, each in enumerate(steps) if step % 3 == 2 or step == len(self.batches) - 1)


COUNTS = (0, 0, 126, 999, 10**6)
"""Batches that a layer with a counter is told it has seen, where it averages plainly."""


def act_history(stage: Stage) -> HistoryRecord:
    """Train on `steps` batches of unequal sizes from one state, without and at last with gradients."""
    case = stage.case
    batches = [make_batch(case, f"batch {step}", shape=shape) for step, shape in enumerate(_draw_shapes(stage))]
    layer = stage.subject.make_layer(case, stage.device)
    counts = case.momentum is None and layer.state().batches is not None
    count = COUNTS[case.seed % len(COUNTS)] if counts else 0
    start = keep_offered(stage, make_state(case, batches=count))
    layer.load(start if counts else replace(start, batches=None))
    evaluates, passes = stage.subject.offers("evaluation", "running_statistics"), []
    differentiates = stage.subject.offers("gradients")
    for step, batch in enumerate(batches):
        grad = stage.grad if step == len(batches) - 1 else (NONE, OFF, stage.grad)[step % 3]
        dy = batch.dy if grad.x and differentiates else None
        passes.append(play(lambda: layer.run(batch.x, training=True, grad=grad), layer.state, dy))  # noqa: B023  # called at once
        if evaluates and step % 2:
            attempt(lambda: layer.run(batch.x, training=False, grad=NONE))  # noqa: B023  # E4 judges what it leaves
    return HistoryRecord(stage, tuple(batches), start, count, tuple(passes))


def _draw_shapes(stage: Stage) -> list[tuple[int, ...]]:
    """Shapes of the same channels: any number of examples or a few less than before, and along the last axis any of
    positions; every third of another rank, where one layer takes several."""
    case, promises = stage.case, stage.subject.promises
    random, shapes = case.random("sizes"), list[tuple[int, ...]]()
    for step in range(case.steps):
        most, channels, *positions = case.shape
        if step % 3 == 1 and promises.mixes_ranks:
            rank = promises.ranks[random.randint(len(promises.ranks))]
            positions = [*positions, 2, 2, 2][: rank - 2]
        n = int(random.randint(1, 2 * most + 2))
        if shapes and random.randint(2):
            n = max(1, shapes[-1][0] - int(random.randint(3)))
        if positions:
            positions[-1] = int(random.randint(1, 2 * positions[-1] + 2))
        alone = int(np.prod(positions)) == 1
        shapes.append((max(n, 2) if alone else n, channels, *positions))
    return shapes
