"""What stands around a call of the subject that may be its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Guard(Protocol):
    """Calls a function that calls the subject; gives `otherwise` where it came to no end of its own."""

    def __call__(self, work: Callable[[], T], otherwise: T) -> T: ...


def call_here(work: Callable[[], T], otherwise: T) -> T:  # noqa: ARG001  # an end here is the end of all
    """Call it in this process."""
    return work()
