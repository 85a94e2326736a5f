"""What changed from one certificate to another, and what of it is a regression."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from bnspec.certificate.model import FAILED, Certificate, ClauseReport, TargetReport, Verdict

GOOD = ("pass", "measured", "waived")
RANK: dict[Verdict, int] = {"does not conform": 0, "incomplete": 1, "conforms": 2}
BITS = 1.0
"""Of a measured quantity so much may not be lost: a bit below its bound, a class, or a result that repeated."""
CONDITIONS = ("dialect", "profile", "seed", "spec_version", "args")
"""Where these differ two reports are of different questions, and what was measured is not compared."""


@dataclass(frozen=True)
class Change:
    """One difference, in words; a regression fails the comparison."""

    target: str
    words: str
    regression: bool


def compare(old: Certificate, new: Certificate, *, bits: float = BITS, slower: float | None = None) -> list[Change]:
    """What changed for each target of the old certificate, by its name and its place among those of that name.

    A regression is: a target that is gone; a verdict that is worse; a clause that passed, or was waived, and does not
    any more; `bits` lost of what was measured; and, where `slower` is given, a run that took more than so many times as
    long. Where dialect, profile, seed, version or arguments differ, that is told, and what was measured not compared.
    """
    left = _by_name(new)
    changes = []
    for name, report in _by_name(old).items():
        other = left.pop(name, None)
        found = [("is judged no more", True)] if other is None else _compare_reports(report, other, bits, slower)
        changes += [Change(report.target, words, regression) for words, regression in found]
    return changes + [Change(report.target, "is new", False) for report in left.values()]


def _by_name(certificate: Certificate) -> dict[tuple[str, int], TargetReport]:
    found: dict[tuple[str, int], TargetReport] = {}
    for report in certificate.targets:
        found[report.target, sum(name == report.target for name, _ in found)] = report
    return found


def _compare_reports(
    old: TargetReport, new: TargetReport, bits: float, slower: float | None
) -> Iterator[tuple[str, bool]]:
    if old.verdict != new.verdict:
        yield f"{old.verdict} -> {new.verdict}", RANK[new.verdict] < RANK[old.verdict]
    asked = [name for name in CONDITIONS if getattr(old, name) != getattr(new, name)]
    for name in asked:
        yield f"{name} {getattr(old, name)} -> {getattr(new, name)}: what was measured is not compared", False
    before = {clause.id: clause for clause in old.clauses}
    for clause in new.clauses:
        if clause.id not in before:
            yield f"{clause.id} is new: {clause.outcome}", False
            continue
        yield from _compare_outcomes(before[clause.id], clause)
        if not asked:
            yield from _compare_measures(before[clause.id], clause, bits)
    for name in before.keys() - {clause.id for clause in new.clauses}:
        yield f"{name} is judged no more", before[name].outcome in GOOD
    factor = new.duration_s / max(old.duration_s, 1e-3)
    if slower is not None and factor > slower:
        yield f"took {new.duration_s:.1f} s instead of {old.duration_s:.1f} s", True


def _compare_outcomes(old: ClauseReport, new: ClauseReport) -> Iterator[tuple[str, bool]]:
    if old.outcome != new.outcome:
        why = f": {new.why}" if new.why and new.outcome in FAILED else ""
        yield f"{new.id} {old.outcome} -> {new.outcome}{why}", old.outcome in GOOD and new.outcome not in GOOD


def _compare_measures(old: ClauseReport, new: ClauseReport, bits: float) -> Iterator[tuple[str, bool]]:
    before = {(cell.dtype, cell.device): cell for cell in old.cells}
    for cell in new.cells:
        measured = before[cell.dtype, cell.device].measures if (cell.dtype, cell.device) in before else {}
        for name, worth in cell.measures.items():
            if name in measured and measured[name] - worth >= bits:
                told = f"{measured[name]:.1f} -> {worth:.1f}"
                yield f"{new.id} {name} in {cell.dtype} on {cell.device}: {told} ({cell.value})", True
