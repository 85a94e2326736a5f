"""Bad and degenerate input: enumerated, and acted out in a child process, which a call may end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from bnspec.cases.batches import make_state
from bnspec.cases.case import Case
from bnspec.engine.child import Child, Ending, Send, can_fork
from bnspec.engine.isolation import find_ending
from bnspec.engine.subject import Recipe
from bnspec.layers.protocol import Array, State, SubjectError, as_dtype

from ..acting import Stage, attempt
from .states import keep_offered

LIMIT_S, START_S, LEAST_S = 10.0, 60.0, 0.5
"""How long a call may take, a fresh process until its first one, and a call of a subject that often took too long."""


@dataclass(frozen=True)
class BadCall:
    """A call of a new layer. `clause` says what is expected of it, `says` what x is like.

    `alone` where the layer has one channel, and its initial state.
    """

    clause: str
    says: str
    x: Array
    training: bool
    alone: bool = False

    def __str__(self) -> str:
        return (
            f"{self.says}, shape {self.x.shape} of {self.x.dtype}, in {'training' if self.training else 'evaluation'}"
        )


@dataclass(frozen=True)
class Answer:
    """What came of a call: `y`, or `refused`, the exception in words, or `silent`, what else came, or `ending`.

    The states are those before and after it, None where there is none to be had.
    """

    y: Array | None = None
    refused: str = ""
    silent: str = ""
    ending: Ending | None = None
    before: State | None = None
    after: State | None = None


@dataclass(frozen=True)
class BadInputRecord:
    """All calls with their answers, each from the state `start`."""

    stage: Stage
    start: State
    answered: tuple[tuple[BadCall, Answer], ...]

    def of(self, clause: str) -> list[tuple[BadCall, Answer]]:
        return [(call, answer) for call, answer in self.answered if call.clause == clause]


def act_bad_input(stage: Stage) -> BadInputRecord:
    """Make all calls, the next ones in a new child where one was ended by its call."""
    calls, answers, limit_s = list_calls(stage), list[Answer](), LIMIT_S
    fork = can_fork() and stage.subject.implementation.forks and stage.device == "cpu"
    recipe = stage.subject.recipe
    if not fork and recipe is None:
        answers = [answer_call(stage, call) for call in calls]  # nothing else can reach this subject
    while len(answers) < len(calls):
        first = len(answers)
        work: Callable[[Send], None] = partial(_answer_from, first, stage)
        if not fork and recipe is not None:
            work = partial(_answer_afresh, first, recipe, stage.case, stage.device)
        child = Child(work, fork=fork)
        for _ in calls[first:]:
            waits = not fork and len(answers) == first
            answer = child.receive(limit_s + START_S if waits else limit_s)
            if isinstance(answer, Ending) and answer.timed_out and fork and not _forks(stage):
                answers += [_answer_here(stage, call, limit_s) for call in calls[len(answers) :]]
                break
            answers.append(Answer(ending=answer) if isinstance(answer, Ending) else answer)
            if isinstance(answer, Ending):
                limit_s = max(LEAST_S, limit_s / 2) if answer.timed_out else limit_s
                break
        else:
            child.stop()
    return BadInputRecord(stage, _start(stage), tuple(zip(calls, answers, strict=True)))


def _forks(stage: Stage) -> bool:
    """Does a child come back from a plain batch? Threads that were started here are not there, and waited for in vain.

    They may be those of a framework, which no count of this process's threads tells: a shape that was not met before
    makes sure that they are called upon.
    """
    channels, rank = stage.case.channels, len(stage.case.shape)
    x = np.random.RandomState(1).standard_normal((11, channels, *[5] * (rank - 2)))
    batch = x.astype(as_dtype(stage.case.precision.storage.name))

    def run() -> object:
        return stage.subject.make_layer(stage.case, stage.device).run(batch, training=True)

    return threading.active_count() == 1 and find_ending(run, LIMIT_S) is None


def _answer_from(first: int, stage: Stage, send: Send) -> None:
    stage.subject.implementation.framework.enter_child()
    for call in list_calls(stage)[first:]:
        send(answer_call(stage, call))


def _answer_afresh(first: int, recipe: Recipe, case: Case, device: str, send: Send) -> None:
    _answer_from(first, Stage(recipe.make(), case, device), send)


def _answer_here(stage: Stage, call: BadCall, limit_s: float) -> Answer:
    """By a thread of this process, where the subject's other threads are; it is left behind if it does not return."""
    found: list[Answer] = []
    thread = threading.Thread(target=lambda: found.append(answer_call(stage, call)), daemon=True)
    thread.start()
    thread.join(limit_s)
    return found[0] if found else Answer(ending=Ending(f"did not return within {limit_s:g} s", timed_out=True))


def answer_call(stage: Stage, call: BadCall) -> Answer:
    """Make a layer, call it, and look at its state before and after."""
    if call.alone:
        layer = stage.subject.make_layer(stage.case, stage.device, channels=1)
    else:
        layer = stage.subject.make_layer(stage.case, stage.device)
        layer.load(_start(stage))
    before = layer.state()
    try:
        answer = Answer(layer.run(call.x, training=call.training).y)
    except SubjectError as error:
        answer = read_error(error)
    after = attempt(layer.state)
    return replace(answer, before=before, after=None if after.error else after.get())


def read_error(error: SubjectError) -> Answer:
    """What was raised is the cause, and no refusal where it ends programs; without a cause it is about what came."""
    return Answer(refused=error.reason) if isinstance(error.__cause__, Exception) else Answer(silent=error.reason)


def _start(stage: Stage) -> State:
    return keep_offered(stage, make_state(stage.case, batches=0 if stage.case.momentum is None else 7))


def list_calls(stage: Stage) -> list[BadCall]:
    """The enumeration, in the modes that the subject has. Values have few bits, so that conversions are exact."""
    evaluates = stage.subject.offers("evaluation", "running_statistics")
    modes = (True, False) if evaluates else (True,)
    calls = [BadCall(clause, says, x, training) for clause, says, x in _list_batches(stage) for training in modes]
    if stage.subject.offers("several_channels") and stage.subject.promises.channels is None:
        x = next(call.x for call in calls if call.clause == "B4").repeat(3, axis=0)
        calls += [BadCall("B1", f"{x.shape[1]} channels for a layer of one", x, training, True) for training in modes]
    return calls


def _list_batches(stage: Stage) -> Iterator[tuple[str, str, Array]]:
    case, promises = stage.case, stage.subject.promises
    n, c, *positions = case.shape
    own = as_dtype(case.dtype)

    def batch(*shape: int, dtype: np.dtype[np.generic] = own) -> Array:
        return (case.random("bad").randint(-32, 33, shape) / 8).astype(dtype)

    yield "B2", "a single axis", batch(c)
    for rank in (2, 3, 4, 5):
        if rank not in promises.ranks and rank < max(promises.ranks) + 2:
            yield "B2", f"rank {rank}", batch(n, c, *[2] * (rank - 2))
    yield "B3", "integers", (batch(*case.shape) * 8).astype(np.int64)
    real = batch(*case.shape, dtype=np.dtype(np.float32))
    yield "B3", "complex numbers", real + np.complex64(1j) * real[::-1, ..., ::-1] / 2
    other = np.dtype(np.float32 if own == np.float64 else np.float64)
    yield "B3", "another dtype than the parameters", batch(*case.shape, dtype=other)
    yield "B4", "one value per channel", batch(1, c, *[1] * len(positions))
    yield "B5", "no examples", batch(0, c, *positions)
    if positions:
        yield "B5", "no positions", batch(n, c, *positions[:-1], 0)
    # Last: a layer that reads and writes out of bounds spoils what comes after.
    for channels in sorted({1, c - 1, c + 1, 2 * c} - {0, c}):
        yield "B1", f"{channels} channels for a layer of {c}", batch(n, channels, *positions)
