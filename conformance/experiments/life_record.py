"""What is kept of the life of a layer: its states before and after each act, and the passes in between."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from bnspec.cases.batches import Batch
from bnspec.layers.protocol import Array, State

from ..acting import Attempt, Played, Stage
from ..expected import ExpectedPass, expect_evaluation, expect_training
from .states import is_usable


@dataclass(frozen=True)
class Call:
    """One pass, the state `before` it and the number of training batches that made that; `stage` has its dtype."""

    stage: Stage
    training: bool
    batch: Batch
    before: State
    count: int
    played: Played

    @cached_property
    def expected(self) -> ExpectedPass | None:
        """None where the state is one that nothing can be expected of, which R2 judges."""
        if not is_usable(self.before):
            return None
        expect = expect_training if self.training else expect_evaluation
        return expect(self.stage.terms, self.batch.x, self.before, self.stage.case.eps)


@dataclass(frozen=True)
class Step:
    """A call in a sequence of modes: `left` is the state before the switches that led to it, `y_later` its output read
    again when the sequence is over."""

    left: State
    call: Call
    y_later: Attempt[Array]


@dataclass(frozen=True)
class Saving:
    """A layer `before` and `after` it was saved; another one, of other values, after it `took` that over.

    It is `evaluated` then; `untouched` is its state after an empty save went into it. `left` is that of the saved layer
    after the other one was trained. `partial` is the state of a layer of the `other` values that took over gamma and
    beta alone, None where a save has these under other names.
    """

    before: State
    after: State
    took: State
    evaluated: Call | None
    untouched: State
    left: State
    other: State
    partial: State | None


@dataclass(frozen=True)
class Copying:
    """A layer `before` it was copied, and its copy as it was `made`, loaded with other values and `trained`.

    `left` is the layer's state after that; `kept` that of the copy after the layer was loaded and trained in turn.
    The layer had evaluated, and so does another copy, `evaluated`, which is told no mode; `travelled` is the state of
    one that went through bytes, None where none can.
    """

    before: State
    made: State
    evaluated: Call | None
    travelled: State | None
    trained: Call
    left: State
    kept: State


@dataclass(frozen=True)
class Converting:
    """A layer `before` and `after` its conversion to another dtype, and its `calls` there."""

    before: State
    after: State
    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Resetting:
    """A layer `before` and `after` a reset, an evaluation and a training pass that follow; it had evaluated before."""

    before: State
    after: State
    evaluated: Call | None
    trained: Call


@dataclass(frozen=True)
class Retuning:
    """Calls of a layer whose eps and momentum were set after it had been used; their stages have the new ones."""

    calls: tuple[Call, ...]


@dataclass(frozen=True)
class Neighbour:
    """A layer `before` and `after` another one was trained; `which` says how the two are related."""

    which: str
    before: State
    after: State


@dataclass(frozen=True)
class LifeRecord:
    """Each part is None where the subject does not offer what it needs."""

    stage: Stage
    steps: Attempt[tuple[Step, ...]] | None
    saving: Attempt[Saving] | None
    copying: Attempt[Copying] | None
    converting: Attempt[Converting] | None
    resetting: Attempt[Resetting] | None
    retuning: Attempt[Retuning] | None
    neighbours: Attempt[tuple[Neighbour, ...]] | None
