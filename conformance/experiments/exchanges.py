"""Evaluations that must agree with others: with the training just learned, or with another variance and eps."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.cases.grids import power_below
from bnspec.layers.protocol import NONE, OFF, State

from ..acting import Played, Stage, play
from ..expected import (
    ExpectedBuffers,
    ExpectedPass,
    begin_buffers,
    expect_evaluation,
    expect_learned,
    expect_training,
    update_buffers,
)
from .states import keep_offered


@dataclass(frozen=True)
class Learned:
    """A training pass in which the batch has the weight 1, from `start`, then an evaluation of the same batch."""

    momentum: float | None
    start: State
    trained: Played
    evaluated: Played


@dataclass(frozen=True)
class Evaluated:
    """One evaluation by a layer made with `eps`."""

    start: State
    eps: float
    played: Played


@dataclass(frozen=True)
class ExchangesRecord:
    """`learned` is None where no momentum gives the weight 1, `exchanged`, two with one sum, where eps is fixed."""

    stage: Stage
    batch: Batch
    learned: Learned | None
    exchanged: tuple[Evaluated, Evaluated] | None

    @cached_property
    def expected_learned(self) -> ExpectedPass:
        """The training output with v replaced by the stored variance, and what the rounding of both may change."""
        assert self.learned is not None
        terms, eps = self.stage.terms, self.stage.case.eps
        momentum, start = self.learned.momentum, self.learned.start
        batch = expect_training(terms, self.batch.x, start, eps)
        begun: ExpectedBuffers = begin_buffers(terms, start)
        return expect_learned(terms, self.batch.x, start, update_buffers(begun, batch, momentum, 0), eps)

    def expect(self, evaluated: Evaluated) -> ExpectedPass:
        return expect_evaluation(self.stage.terms, self.batch.x, evaluated.start, evaluated.eps)


def act_exchanges(stage: Stage) -> ExchangesRecord:
    """Learn one batch entirely and evaluate it; evaluate it with rv and eps, and with rv + d and eps - d."""
    batch, offers = make_batch(stage.case), stage.subject.offers
    return ExchangesRecord(
        stage,
        batch,
        _learn(stage, batch) if offers("full_weight") else None,
        _exchange(stage, batch) if offers("free_eps") else None,
    )


def _learn(stage: Stage, batch: Batch) -> Learned:
    momentum = stage.subject.replacing_momentum
    start = keep_offered(stage, make_state(stage.case, batches=0))
    layer = stage.subject.make_layer(stage.case, stage.device, momentum=momentum)
    layer.load(start)
    trained = play(lambda: layer.run(batch.x, training=True, grad=NONE), layer.state, None)
    evaluated = play(lambda: layer.run(batch.x, training=False, grad=NONE), layer.state, None)
    return Learned(momentum, start, trained, evaluated)


def _exchange(stage: Stage, batch: Batch) -> tuple[Evaluated, Evaluated]:
    """eps has eight bits, d is a half of it or more, and rv counts sixteenths of d: both sums are exact."""
    case, state = stage.case, make_state(stage.case)
    eps = float(np.round(case.eps / power_below(case.eps) * 128) / 128 * power_below(case.eps))
    d = float(power_below(eps))
    d = d / 2 if d == eps else d
    var = np.asarray(state.running_var)
    sixteenths = case.random("exchange").randint(1, 64, var.shape)

    def evaluate(more: float) -> Evaluated:
        start = keep_offered(stage, replace(state, running_var=((sixteenths / 16) * d + more).astype(var.dtype)))
        layer = stage.subject.make_layer(case, stage.device, eps=eps - more)
        layer.load(start)
        return Evaluated(
            start, eps - more, play(lambda: layer.run(batch.x, training=False, grad=OFF), layer.state, None)
        )

    return evaluate(0.0), evaluate(d)
