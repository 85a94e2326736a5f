"""What records of several passes of one batch, each from the same state, have in common: the exact answers."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bnspec.cases.batches import Batch
from bnspec.layers.protocol import State
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents

from ..acting import Stage
from ..expected import ExpectedBuffers, ExpectedPass, begin_buffers, expect_evaluation, expect_training, update_buffers


@dataclass(frozen=True)
class OneBatch:
    """A batch and the state that every pass of it began from."""

    stage: Stage
    batch: Batch
    start: State

    def expected(self, training: bool) -> ExpectedPass:
        return self.expected_training if training else self.expected_evaluation

    def expected_gradients(self, training: bool) -> tuple[Cotangents, GradientError]:
        """Those of the batch's own upstream gradient."""
        return self._training_gradients if training else self._evaluation_gradients

    @cached_property
    def expected_training(self) -> ExpectedPass:
        return expect_training(self.stage.terms, self.batch.x, self.start, self.stage.case.eps)

    @cached_property
    def expected_evaluation(self) -> ExpectedPass:
        return expect_evaluation(self.stage.terms, self.batch.x, self.start, self.stage.case.eps)

    @cached_property
    def expected_buffers(self) -> ExpectedBuffers:
        """After one training pass."""
        begun = begin_buffers(self.stage.terms, self.start)
        return update_buffers(begun, self.expected_training, self.stage.case.momentum, self.start.batches or 0)

    @cached_property
    def _training_gradients(self) -> tuple[Cotangents, GradientError]:
        return self.expected_training.differentiate(self.batch.dy)

    @cached_property
    def _evaluation_gradients(self) -> tuple[Cotangents, GradientError]:
        return self.expected_evaluation.differentiate(self.batch.dy)
