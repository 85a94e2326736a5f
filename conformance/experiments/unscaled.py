"""A layer that was built without gamma and beta."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import NONE, Grad, State

from ..acting import Played, Stage, play
from ..expected import ExpectedBuffers, ExpectedPass, begin_buffers, expect_evaluation, expect_training, update_buffers
from .states import keep_offered


@dataclass(frozen=True)
class UnscaledRecord:
    """One batch, each time from the same state: an evaluation, a training pass, and one where nothing needs a gradient.

    `evaluated` is None where the subject does not evaluate.
    """

    stage: Stage
    batch: Batch
    start: State
    evaluated: Played | None
    trained: Played
    silent: Played

    @cached_property
    def expected_training(self) -> ExpectedPass:
        return expect_training(self.stage.terms, self.batch.x, self.start, self.stage.case.eps)

    @cached_property
    def expected_evaluation(self) -> ExpectedPass:
        return expect_evaluation(self.stage.terms, self.batch.x, self.start, self.stage.case.eps)

    @cached_property
    def expected_buffers(self) -> ExpectedBuffers:
        begun = begin_buffers(self.stage.terms, self.start)
        return update_buffers(begun, self.expected_training, self.stage.case.momentum, self.start.batches or 0)


def act_unscaled(stage: Stage) -> UnscaledRecord:
    """Evaluate and train without gamma and beta."""
    case, subject = stage.case, stage.subject
    batch = make_batch(case)
    start = replace(keep_offered(stage, make_state(case)), gamma=None, beta=None)
    layer = subject.make_layer(case, stage.device, affine=False)
    differentiates = subject.offers("gradients")

    def run(training: bool, grad: Grad) -> Played:
        layer.load(start)
        dy = batch.dy if grad.x else None
        return play(lambda: layer.run(batch.x, training=training, grad=grad), layer.state, dy)

    grad = Grad(x=True) if differentiates else NONE
    evaluated = run(False, grad) if subject.offers("evaluation", "running_statistics") else None
    return UnscaledRecord(stage, batch, start, evaluated, run(True, grad), run(True, NONE))
