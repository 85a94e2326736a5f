"""Where what a failure was told by was found: the step of a trace, what it gave, and how that is looked at."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnspec.layers.protocol import Array, Description, name_kind
from bnspec.reproduce.steps import STATE, Step


@dataclass(frozen=True)
class Place:
    """The number of a step, the name of what it gave, and an expression of that."""

    step: int
    found: str
    view: str


VIEWS: dict[str, Callable[[Array], Array]] = {
    "look({})": lambda a: a,
    "rows(look({}))": lambda a: np.moveaxis(a, 1, 0).reshape(a.shape[1], -1),
    "flat(look({}))": lambda a: a.reshape(-1),
    "rows(look({})).real": lambda a: VIEWS["rows(look({}))"](a).real,
    "rows(look({})).imag": lambda a: VIEWS["rows(look({}))"](a).imag,
}
"""How the arrays of a step are looked at by judges."""
LOOKS = '''
def rows(values):
    """Channel by channel."""
    return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)


def flat(values):
    return values.reshape(-1)
'''
FACTS: dict[str, tuple[Callable[[Array], Any], str]] = {
    "shape of": (lambda a: a.shape, "look({}).shape"),
    "dtype of": (lambda a: a.dtype.name, "name_dtype({})"),
    "kind of numbers in": (lambda a: name_kind(a.dtype), "name_kind({})"),
    "number of batches": (lambda a: None if a.ndim else int(a), "int(look({}))"),
}
"""Plain values of arrays, by the words that they are told by."""
DESCRIBED: dict[str, tuple[Callable[[Description], Any], str]] = {
    "strides of": (lambda d: d.strides, "list_strides({})"),
    "keeps": (
        lambda d: "the graph of the pass" if d.holds_graph else "no graph",
        '"the graph of the pass" if {}.requires_grad else "no graph"',
    ),
}
"""Plain values of what the subject handed out, of its description."""

MISSING = (("no gradient", "a gradient"), ("nothing", "an array"))
"""How judges say that something is not there, and that it is."""


def find_number(steps: list[Step], observed: Array) -> Place | None:
    """The last step that gave these very numbers."""
    for number in range(len(steps) - 1, -1, -1):
        for found, array in steps[number].found.items():
            for view, look in VIEWS.items():
                if array.ndim < 2 and "rows" in view:
                    continue
                seen = look(array)
                alike = seen.shape == observed.shape and seen.dtype == observed.dtype
                if alike and seen.tobytes() == observed.tobytes():
                    return Place(number, found, view)
    return None


def find_fact(steps: list[Step], quantity: str, got: object) -> Place | None:
    """The last step that gave something of which this is so, or in which something was missing."""
    for pair in MISSING:
        if got in pair:
            return _find_missing(steps, quantity.split()[0], *pair, there=got == pair[1])
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        for words, (tell, view) in DESCRIBED.items() if "description" in step.given else ():
            what = step.given["what"]
            if words in quantity and what in quantity.split() and tell(step.given["description"]) == got:
                return Place(number, what, view)
        for words, (read, view) in FACTS.items():
            for found, array in step.found.items() if words in quantity else ():
                if (found == "batches" or found in quantity) and read(array) == got:
                    return Place(number, found, view)
    return None


def _find_missing(steps: list[Step], name: str, no: str, yes: str, *, there: bool) -> Place | None:
    verbs = ("read",) if name in STATE else ("backward", "accumulate")
    for number in range(len(steps) - 1, -1, -1):
        step = steps[number]
        if step.verb in verbs and not step.raised and (name in step.found) == there:
            return Place(number, name, f"{no!r} if {{}} is None else {yes!r}")
    return None


def list_slices(steps: list[Step]) -> Iterator[list[Step]]:
    """Steps that may be enough to come to the last, the fewest first.

    Those of its layer since it was loaded, those of the layers that it came from, and all.
    """
    layer, needed, saves = steps[-1].layer, {steps[-1].layer}, set[int]()
    for step in reversed(steps):
        if step.layer in needed and "of" in step.given:
            needed.add(step.given["of"])
        if step.layer in needed and step.verb == "restore":
            saves.add(step.given["number"])
        if step.verb == "save" and step.given["number"] in saves:
            needed.add(step.layer)
    own = [step for step in steps if step.layer in needed]
    loads = [number for number, step in enumerate(own) if step.verb == "load" and step.layer == layer]
    if loads:
        yield [step for number, step in enumerate(own) if step.verb == "make" or number >= loads[-1]]
    yield own
    if len(own) < len(steps):
        yield steps
