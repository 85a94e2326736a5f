"""A forward that is traced, and a save."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bnspec.layers.numpy_teaching import copy_array
from bnspec.layers.protocol import Array, Description, Gradients
from bnspec.reproduce.steps import Step, Trace, Traced


class TracedPass(Traced):
    """A forward whose backward is a step of a trace."""

    def __init__(self, passed: Any, layer: int, number: int, trace: Trace) -> None:
        self.bare, self._layer, self.number, self._trace = passed, layer, number, trace

    @property
    def y(self) -> Array:
        y: Array = self.bare.y
        return y

    def backward(self, dy: Array) -> Gradients:
        def call() -> tuple[Gradients, dict[str, Array]]:
            found = self.bare.backward(dy)
            return found, name_gradients(found, "")

        step = Step("backward", self._layer, self.number, {"dy": copy_array(dy)})
        gradients: Gradients = self._trace.record(step, call)
        return gradients

    def read(self, what: Any) -> Array:
        def call() -> tuple[Array, dict[str, Array]]:
            found = self.bare.read(what)
            return found, {what: found}

        read: Array = self._trace.record(Step("look", self._layer, self.number), call)
        return read

    def describe(self, what: Any = "y") -> Description:
        description: Description = self.bare.describe(what)
        given = {"what": what, "description": description}
        self._trace.steps.append(Step("look", self._layer, self.number, given))
        return description

    def watch(self) -> Callable[[], object]:
        watched: Callable[[], object] = self.bare.watch()
        self._trace.steps.append(Step("watch", self._layer, self.number))
        return watched

    def __getattr__(self, name: str) -> Any:
        return self._trace.leave(self._layer, getattr(self.bare, name))


@dataclass(frozen=True)
class Saved(Traced):
    """What a layer saved, by its number in the trace."""

    bare: Any
    number: int


def name_gradients(found: Gradients, end: str) -> dict[str, Array]:
    """Those that came, by name."""
    pairs = {"dx": found.x, "dgamma": found.gamma, "dbeta": found.beta}
    return {f"{name}{end}": array for name, array in pairs.items() if array is not None}
