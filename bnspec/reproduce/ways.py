"""The ways in which a failure may be shown by the steps that led to it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnspec.cases.case import Case
from bnspec.engine.subject import Subject
from bnspec.reproduce.endings import Ending, tell_answered, tell_fact, tell_held, tell_number, tell_raised
from bnspec.reproduce.passes import find_wrong
from bnspec.reproduce.places import find_fact, find_number
from bnspec.reproduce.steps import Step

if TYPE_CHECKING:
    from bnspec.conformance.compare import Fact, Judgement


@dataclass(frozen=True)
class Way:
    """Steps, and what they end with; what a script must say then, and what is to be said of it."""

    steps: list[Step]
    ending: Ending
    says: str = ""
    remarks: tuple[str, ...] = ()


def list_ways(subject: Subject, case: Case, steps: list[Step], judged: Judgement, family: str) -> Iterator[Way]:
    """By what the judge itself told it, then by any number of a single pass that is off."""
    from bnspec.conformance.compare import Evidence, Fact

    evidence, says = judged.evidence, f"got {judged.got}, wanted"
    if judged.crashed:
        last = next((number for number, step in enumerate(steps) if step.raised), None)
        if last is not None:
            yield Way(steps[: last + 1], tell_raised)
    if isinstance(evidence, Evidence):
        place = find_number(steps, evidence.observed)
        if place is not None:
            ending = tell_number(judged.quantity, place.found, place.view, evidence)
            yield Way(steps[: place.step + 1], ending, says)
    if isinstance(evidence, Fact):
        yield from _list_ways_of_fact(steps, judged.quantity, evidence, says)
    remark = f"{judged.quantity}: got {judged.got}, wanted {judged.wanted}; this comes of it:"
    for wrong in find_wrong(subject, case, steps, family):
        if isinstance(wrong.judged.evidence, Evidence):
            view = "rows(look({}))" if wrong.found in ("y", "dx") else "flat(look({}))"
            ending = tell_number(wrong.found, wrong.found, view, wrong.judged.evidence)
            yield Way(wrong.steps, ending, f"got {wrong.judged.got}, wanted", (remark,))


def _list_ways_of_fact(steps: list[Step], quantity: str, fact: Fact, says: str) -> Iterator[Way]:
    from bnspec.conformance.judges.bad_input import EXCEPTION

    if any(step.verb == "watch" for step in steps):
        yield Way(steps, tell_held(quantity, fact), says)
    place = find_fact(steps, quantity, fact.got)
    if place is not None:
        yield Way(steps[: place.step + 1], tell_fact(quantity, place.found, place.view, fact.wanted), says)
    last = max((number for number, step in enumerate(steps) if step.verb == "forward"), default=None)
    if last is not None and steps[last].raised:
        yield Way(steps[: last + 1], tell_raised)
    elif last is not None and fact.wanted == EXCEPTION:
        yield Way(steps[: last + 1], tell_answered(quantity))
