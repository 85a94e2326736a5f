"""What all experiments share: attempts that keep what a subject raised, and the stage a case is acted out on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from bnspec.cases.case import Case
from bnspec.engine.subject import Subject
from bnspec.layers.protocol import NONE, Array, Grad, Gradients, Pass, State, SubjectError

from .expected import Terms

T = TypeVar("T")


@dataclass(frozen=True)
class Attempt(Generic[T]):
    """What a call of the subject gave, or what it raised: `get` hands over the one or raises the other."""

    value: T | None = None
    error: SubjectError | None = None

    def get(self) -> T:
        if self.error is not None:
            raise self.error
        return self.value  # type: ignore[return-value]  # a value of None is a value of T


def attempt(call: Callable[[], T]) -> Attempt[T]:
    """Call the subject; a SubjectError is kept for the judges that need the answer."""
    try:
        return Attempt(call())
    except SubjectError as error:
        return Attempt(error=error)


def shaped(passed: Pass, x: Array) -> Pass:
    """A pass whose output has the shape of its input. Raises SubjectError for any other."""
    if passed.y.shape != x.shape:
        raise SubjectError("forward", f"gave shape {passed.y.shape} for a batch of shape {x.shape}")
    return passed


@dataclass(frozen=True)
class Stage:
    """Where a case is acted out: a subject, a case and a device."""

    subject: Subject
    case: Case
    device: str

    @property
    def terms(self) -> Terms:
        subject, dtype = self.subject, self.case.dtype
        return Terms(
            subject.dialect, subject.arithmetic(dtype), subject.rounding(dtype, self.device), subject.algorithm
        )

    @property
    def grad(self) -> Grad:
        """Ask for every gradient that there is, where the subject has a backward."""
        subject = self.subject
        return Grad(True, subject.offers("gamma"), subject.offers("beta")) if subject.offers("gradients") else NONE


@dataclass(frozen=True)
class Played:
    """One pass as observed: the forward, then the input, the upstream gradient and the state as they were left."""

    forward: Attempt[Pass]
    y: Attempt[Array]
    x_after: Attempt[Array]
    after_forward: Attempt[State]
    gradients: Attempt[Gradients]
    dy_after: Attempt[Array]
    after_backward: Attempt[State]


def play(run: Callable[[], Pass], read_state: Callable[[], State], dy: Array | None) -> Played:
    """Run a forward and, where an upstream gradient is given, its backward at once."""
    forward = attempt(run)
    if forward.error is not None:
        failed: Attempt[Array] = Attempt(error=forward.error)
        state = attempt(read_state)
        return Played(forward, failed, failed, state, Attempt(error=forward.error), failed, state)
    kept = forward.get()
    y = attempt(lambda: kept.y)
    after_forward = attempt(read_state)
    gradients: Attempt[Gradients] = Attempt(Gradients(None, None, None))
    dy_after: Attempt[Array] = Attempt()
    if dy is not None:
        gradients = attempt(lambda: kept.backward(dy))
        dy_after = attempt(lambda: kept.read("dy")) if gradients.error is None else Attempt(error=gradients.error)
    x_after = attempt(lambda: kept.read("x"))
    return Played(forward, y, x_after, after_forward, gradients, dy_after, attempt(read_state))
