"""What is kept of a random history: step by step the passes, the gradients and the states that were seen."""

from __future__ import annotations

from dataclasses import dataclass, field

from bnspec.layers.protocol import ALL, Array, Grad, Gradients, State, SubjectError

from ..acting import Attempt, Stage
from .life_record import Call


@dataclass(frozen=True)
class Answer:
    """A backward: of one forward, or of the sum of several where there are several `calls`.

    It `may_refuse` where parameters or buffers were written since; `wanted` tells what had to have a gradient.
    """

    calls: tuple[Call, ...]
    gradients: Attempt[tuple[Gradients, ...]]
    may_refuse: bool = False
    wanted: Grad = ALL


@dataclass(frozen=True)
class Held:
    """A state as it was observed, and the one that was wanted; `of` tells whose. A count may be the layer's own."""

    observed: State
    wanted: State
    of: str = ""
    counted: bool = True


@dataclass
class Step:
    """What one act left to judge; `error` is what it raised, after which the history ends."""

    place: int
    act: str
    calls: list[Call] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    states: list[Held] = field(default_factory=list)
    error: SubjectError | None = None


@dataclass(frozen=True)
class Output:
    """The output of a pass, by the step of its forward: at once, and at the end of the history."""

    place: int
    at_once: Attempt[Array]
    later: Attempt[Array]


@dataclass(frozen=True)
class RandomHistoryRecord:
    """The steps in order, up to one that raised, and all outputs."""

    stage: Stage
    steps: tuple[Step, ...]
    outputs: tuple[Output, ...]
