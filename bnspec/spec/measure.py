"""What a GRADE clause measures: by quantity, words and a worth by which several measurements are joined."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Measure:
    """One measurement. Of two of one quantity that of less `worth` stays: a grade is the worst that was met."""

    worth: tuple[float, ...]
    words: str


Measures = Mapping[str, Measure]
"""Measurements by quantity."""


def join(*several: Measures) -> dict[str, Measure]:
    """The worst of each quantity, the first of equals, so that neither blocks nor workers change what is told."""
    joined: dict[str, Measure] = {}
    for measures in several:
        for quantity, measure in measures.items():
            if quantity not in joined or measure.worth < joined[quantity].worth:
                joined[quantity] = measure
    return joined


def describe(measures: Measures) -> str | None:
    """All of them in a line; None where nothing was measured."""
    return ", ".join(f"{quantity} {measure.words}" for quantity, measure in measures.items()) or None
