"""Whether a certificate holds: it follows from its own clauses, and a sample of its cases comes out as it says."""

from __future__ import annotations

import random
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bnspec.api import make_subject
from bnspec.cases.case import AddressError, parse_address
from bnspec.certificate.merge import ORDER, decide_verdict, describe_ratio, rule_of
from bnspec.certificate.model import Cell, TargetReport
from bnspec.engine.judging import experiments, judge_case
from bnspec.layers.target import load_target
from bnspec.settings import order_of
from bnspec.spec.clauses import CLAUSES

if TYPE_CHECKING:
    from bnspec.engine.subject import Subject

SAME = 1e-6
"""Ratios of one case on one machine differ by no more, relative to the greater, as they are sums in float64."""


@dataclass(frozen=True)
class Sample:
    """What came of running cases again: how many were run, what does not hold, and what is only noted."""

    ran: int
    doubts: tuple[str, ...]
    notes: tuple[str, ...]


def check_consistency(report: TargetReport) -> Iterator[str]:
    """What the report says against itself, in words."""
    ids = [clause.id for clause in report.clauses]
    unknown = [name for name in ids if name not in CLAUSES]
    if unknown or len(set(ids)) < len(ids):
        yield f"its clauses are not those of a specification: {' '.join(unknown) or 'some stand there twice'}"
        return
    if not report.interrupted:
        verdict = decide_verdict(report.clauses, rule_of(report))
        if verdict != report.verdict:
            yield f"its verdict is {report.verdict!r}, and by its clauses {verdict!r}"
    for clause in report.clauses:
        cells = [cell for cell in clause.cells if cell.device in report.scope["devices"]]  # type: ignore[operator]  # a list, as the schema says
        counted = (sum(cell.executed for cell in cells), sum(cell.informative for cell in cells))
        if cells and (clause.executed, clause.informative) != counted:
            yield f"{clause.id} counts {clause.executed} cases, {clause.informative} informative; its cells {counted}"
        worst = next((outcome for outcome in ORDER if any(cell.outcome == outcome for cell in cells)), clause.outcome)
        if worst != clause.outcome:
            yield f"{clause.id} is said to be {clause.outcome!r}, and by its cells {worst!r}"


def run_sample(report: TargetReport, count: int, seed: int) -> Sample:
    """Run the worst case of so many cells again, where their device is here. Raises UsageError, TargetError."""
    order = order_of(report)
    subject, _ = make_subject(load_target(order.target).obj, order.request, order.arguments, order.target)
    here = subject.implementation.devices()
    cells = [
        (clause.id, cell)
        for clause in report.clauses
        for cell in clause.cells
        if cell.case and cell.worst_ratio is not None and cell.device in here
    ]
    chosen = random.Random(seed).sample(cells, min(count, len(cells)))
    now = subject.implementation.environment()
    same = now == report.environment
    notes = () if same else ("it was made elsewhere, or with other versions: ratios may differ, outcomes may not",)
    doubts = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a subject warns of is its own affair
        for clause, cell in chosen:
            ratio = _run(subject, clause, cell)
            close = ratio is not None and cell.worst_ratio is not None and _is_close(ratio, cell.worst_ratio, same)
            if not close:
                said = f"{describe_ratio(cell.worst_ratio)} bounds at {cell.device}/{cell.case}"
                doubts.append(
                    f"{clause} in {cell.dtype} is said to be off by {said}; it is {describe_ratio(ratio)} here"
                )
    return Sample(len(chosen), tuple(doubts), notes)


def _run(subject: Subject, clause: str, cell: Cell) -> float | None:
    """The ratio of a case, None where it cannot be acted or compares nothing."""
    try:
        case = parse_address(str(cell.case))
    except AddressError:
        return None
    if case.experiment not in experiments() or clause not in experiments()[case.experiment].judges:
        return None
    ratio = judge_case(subject, case, cell.device, (clause,))[clause].ratio
    return None if ratio is None else float(ratio)


def _is_close(ratio: float, said: float, same: bool) -> bool:
    """In another environment the two need only be on one side of the bound."""
    if not same:
        return (ratio <= 1.0) == (said <= 1.0)
    return ratio == said or abs(ratio - said) <= SAME * max(ratio, said)
