"""Evaluation: repeated, in parts, after the state was replaced, and after a training pass."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import NONE, OFF, Array, State
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents

from ..acting import Attempt, Played, Stage, attempt, play
from ..expected import ExpectedBuffers, ExpectedPass, begin_buffers, expect_evaluation, expect_training, update_buffers
from .states import is_usable, keep_offered


@dataclass(frozen=True)
class EvaluationRecord:
    """Evaluations of one batch.

    `first` is differentiated, `again` is the same input and request once more; `parts` pairs rows of the batch with the
    pass in which only they, or they beside other rows, were evaluated. `replaced` follows the replacement of one
    tensor, whose state it is paired with, `reloaded` that of all, without gradients, and `answered` is that once more
    with them. `lesson` is a training pass after these evaluations, on `training_batch`, and `trained` an evaluation
    after it, by the state `learned`, read just before, of a `larger` batch that both batches make, where
    they are small with the first once more, backwards.
    """

    stage: Stage
    batch: Batch
    start: State
    loaded: Attempt[State]
    first: Played
    again: Played
    parts: tuple[tuple[slice, Array, Played], ...]
    replaced: tuple[State, Played]
    other: State
    reloaded: Played
    answered: Played
    training_batch: Batch
    lesson: Played
    learned: Attempt[State]
    larger: Batch
    trained: Played

    @cached_property
    def expected_trained(self) -> ExpectedPass | None:
        """By the state that the training pass left, where evaluation can be expected of it; R2 judges the rest."""
        state = self.learned.get()
        return (
            expect_evaluation(self.stage.terms, self.larger.x, state, self.stage.case.eps) if is_usable(state) else None
        )

    def expected(self, state: State) -> ExpectedPass:
        return expect_evaluation(self.stage.terms, self.batch.x, state, self.stage.case.eps)

    @cached_property
    def expected_first(self) -> ExpectedPass:
        return self.expected(self.start)

    @cached_property
    def expected_lesson(self) -> ExpectedPass:
        """The training pass, from the state that was loaded last."""
        return expect_training(self.stage.terms, self.training_batch.x, self.other, self.stage.case.eps)

    @cached_property
    def expected_buffers(self) -> ExpectedBuffers:
        """The running statistics after the training pass."""
        begun = begin_buffers(self.stage.terms, self.other)
        return update_buffers(begun, self.expected_lesson, self.stage.case.momentum, self.other.batches or 0)

    @cached_property
    def expected_gradients(self) -> tuple[Cotangents, GradientError]:
        return self.expected_first.differentiate(self.batch.dy)


def act_evaluation(stage: Stage) -> EvaluationRecord:
    """Evaluate a batch in every way that must not matter, then with another state, then after a training pass."""
    case = stage.case
    batch, training_batch = make_batch(case), make_batch(case, "training")
    start, other = (keep_offered(stage, make_state(case, stream)) for stream in ("state", "second"))
    layer = stage.subject.make_layer(case, stage.device)
    layer.load(start)
    loaded = attempt(layer.state)
    dy = batch.dy if stage.subject.offers("gradients") else None

    def evaluate(x: Array, upstream: Array | None = None) -> Played:
        grad = stage.grad if upstream is not None else NONE
        return play(lambda: layer.run(x, training=False, grad=grad), layer.state, upstream)

    first = evaluate(batch.x, dy)
    again = play(lambda: layer.run(batch.x, training=False, grad=stage.grad), layer.state, None)
    parts = tuple((rows, x, evaluate(x)) for rows, x in _take_parts(batch.x, training_batch.x))
    name = TENSORS[case.seed % len(TENSORS)]
    partial = replace(start, **{name: getattr(other, name)})
    layer.load(State(**{name: getattr(other, name)}))
    replaced = partial, evaluate(batch.x)
    layer.load(other)
    reloaded = play(lambda: layer.run(batch.x, training=False, grad=OFF), layer.state, None)
    answered = evaluate(batch.x, dy)
    lesson_dy = training_batch.dy if dy is not None else None
    lesson = play(lambda: layer.run(training_batch.x, training=True, grad=stage.grad), layer.state, lesson_dy)
    learned = attempt(layer.state) if lesson.forward.error is None else Attempt[State](error=lesson.forward.error)
    backwards = Batch(training_batch.x[::-1], training_batch.dy[::-1])
    larger = _join(training_batch, batch, *[backwards] * (batch.x.size < LARGE))
    trained = evaluate(larger.x, larger.dy if dy is not None else None)
    return EvaluationRecord(
        stage, batch, start, loaded, first, again, parts, replaced, other, reloaded, answered, training_batch, lesson,
        learned, larger, trained,
    )  # fmt: skip


def _join(*batches: Batch) -> Batch:
    """One batch of all their examples."""
    return Batch(*(np.concatenate(parts) for parts in zip(*((each.x, each.dy) for each in batches), strict=True)))


LARGE = 4000
"""Values from which on an evaluation is twice as large as the training batch before, and not three times."""
TENSORS = ("gamma", "beta", "running_mean", "running_var")


def _take_parts(x: Array, others: Array) -> list[tuple[slice, Array]]:
    """The first row alone, the rest, and the first row beside rows of another batch."""
    if len(x) < 2:
        return []
    mates = np.concatenate([x[:1], (others[1:].astype(np.float64) / 2 + 3).astype(x.dtype)])
    return [(slice(0, 1), x[:1]), (slice(1, None), x[1:]), (slice(0, 1), mates)]
