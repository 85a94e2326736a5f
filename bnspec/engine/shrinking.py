"""From the first failing case of a block to the smallest that fails the same clause."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

from hypothesis import Phase
from hypothesis.errors import Flaky

from bnspec.cases.acts import keep_possible
from bnspec.cases.case import Case, parse_address
from bnspec.engine.blocks import Block, draw
from bnspec.engine.judging import Finding, find, judge_case
from bnspec.engine.subject import Subject

BUDGET = 150
"""Most cases that are acted out to shrink one finding."""


class _Failing(Exception):
    """Tells Hypothesis that a case fails."""


def shrink(subject: Subject, block: Block, seed: int, first: Finding) -> Finding:
    """The smallest finding for the clause of `first` in its block, or `first` where the drawn cases hold no smaller.

    A case counts as failing where it is off by as many bounds as the first was, or by ten: what shrinks to the edge of
    a bound would read like rounding. Past the budget, only cases known to fail do.
    """
    enough = max(1.0, min(10.0, first.ratio * 0.5))
    known: dict[str, Finding | None] = {}
    smallest = [first]

    def execute(case: Case) -> None:
        address = case.address()
        if address not in known:
            known[address] = None
            if len(known) <= BUDGET:
                judgement = judge_case(subject, case, block.device, (first.clause,))[first.clause]
                ratio = -1.0 if judgement.ratio is None else judgement.ratio
                if ratio > enough or (math.isnan(ratio)):
                    known[address] = find(first.clause, case, block.device, judgement)
        finding = known[address]
        if finding is not None:
            smallest[0] = finding
            raise _Failing

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            draw(subject, block, seed, execute, (Phase.generate, Phase.shrink))
        except _Failing:
            pass
        except Flaky:
            return first
    return _shorten(subject, smallest[0])


def _shorten(subject: Subject, first: Finding) -> Finding:
    """The finding with as few acts of its history as fail in the same way, one act after the other left out.

    Hypothesis shrinks what it drew; the histories that were chosen by hand are long.
    """
    shortest, place = first, len(parse_address(first.case).acts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        while place:
            place -= 1
            case = parse_address(shortest.case)
            fewer = keep_possible((*case.acts[:place], *case.acts[place + 1 :]), subject.abilities)
            judgement = judge_case(subject, replace(case, acts=fewer), first.device, (first.clause,))[first.clause]
            if judgement.failed:
                shortest = find(first.clause, replace(case, acts=fewer), first.device, judgement)
                place = min(place, len(fewer))
    return shortest
