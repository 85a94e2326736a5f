"""One backward for every place of a small batch: the rows of the Jacobian."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bnspec.cases.batches import make_batch, make_state
from bnspec.cases.layouts import from_channel_major
from bnspec.layers.protocol import Array, Grad, State

from ..acting import Played, Stage, play
from ..expected import ExpectedPass, expect_evaluation, expect_training
from .states import keep_offered


@dataclass(frozen=True)
class JacobianRecord:
    """`rows` pairs each one-hot upstream gradient, one in the same place of every channel, with its pass."""

    stage: Stage
    x: Array
    start: State
    rows: tuple[tuple[Array, Played], ...]

    @cached_property
    def expected(self) -> ExpectedPass:
        expect = expect_training if self.stage.case.training else expect_evaluation
        return expect(self.stage.terms, self.x, self.start, self.stage.case.eps)


def act_jacobian(stage: Stage) -> JacobianRecord:
    """Differentiate each output of a small batch by x, from the same state each time."""
    case = stage.case
    batch, start = make_batch(case), keep_offered(stage, make_state(case))
    layer = stage.subject.make_layer(case, stage.device)
    rows = []
    for place in range(case.count):
        one_hot = np.zeros((case.channels, case.count), batch.dy.dtype)
        one_hot[:, place] = 1
        dy = from_channel_major(one_hot, case.shape)
        layer.load(start)
        played = play(lambda: layer.run(batch.x, training=case.training, grad=Grad(x=True)), layer.state, dy)
        rows.append((dy, played))
    return JacobianRecord(stage, batch.x, start, tuple(rows))
