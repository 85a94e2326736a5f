"""What is done to layers while a case is acted out, step by step, with every number that goes in and comes out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from bnspec.layers.protocol import Array, SubjectError

Verb = Literal[
    "make", "forward", "backward", "accumulate", "add_up", "twice", "push", "watch", "look", "read", "load", "rebind",
    "switch", "copy", "travel", "convert", "retune", "reset", "save", "restore", "other",
]  # fmt: skip
STATE = ("gamma", "beta", "running_mean", "running_var")


@dataclass(frozen=True, eq=False)
class Step:
    """One call: of which layer, of which of its forwards, with what, and the arrays that came out, by their names.

    `raised` is what came instead.
    """

    verb: Verb
    layer: int
    forward: int = -1
    given: dict[str, Any] = field(default_factory=dict)
    found: dict[str, Array] = field(default_factory=dict)
    raised: str = ""


@dataclass
class Trace:
    """The steps of an act; what is done besides is a step of its own kind, "other", that nobody can write."""

    steps: list[Step] = field(default_factory=list)
    layers: int = 0
    forwards: int = 0
    saves: int = 0

    def record(self, step: Step, call: Callable[[], tuple[Any, dict[str, Array]]]) -> Any:
        """Do what a step says, and keep what came of it."""
        try:
            value, found = call()
        except SubjectError as error:
            self.steps.append(replace(step, raised=error.reason))
            raise
        self.steps.append(replace(step, found=found))
        return value

    def leave(self, layer: int, found: Any) -> Any:
        """Hand on what a layer, or a pass of it, has besides."""
        if not callable(found):
            return found

        def call(*arguments: Any, **named: Any) -> Any:
            self.steps.append(Step("other", layer))
            return found(*map(strip_traced, arguments), **{key: strip_traced(each) for key, each in named.items()})

        return call


class Traced:
    """Stands for what it has as `bare`, and tells a trace of calls."""

    bare: Any


def strip_traced(value: Any) -> Any:
    """What stands behind a traced thing, or behind those of a list."""
    if isinstance(value, Traced):
        return value.bare
    if isinstance(value, list | tuple) and any(isinstance(each, Traced) for each in value):
        return [strip_traced(each) for each in value]
    return value
