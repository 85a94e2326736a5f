"""From the results of blocks to the report on each clause, and from these to the verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from bnspec.certificate.model import FAILED, Cell, ClauseReport, Outcome, TargetReport, Verdict
from bnspec.engine.blocks import Block, BlockResult, Tally
from bnspec.engine.judging import Finding
from bnspec.engine.profiles import Profile
from bnspec.spec.clauses import CLAUSES, SPEC_VERSION, Clause, read_version
from bnspec.spec.measure import describe, join


def merge_tallies(tallies: Iterable[Tally]) -> Tally:
    """One tally for several, in their order: the first finding, the first worst case and the worst measures stay."""
    total = Tally()
    for tally in tallies:
        total.executed += tally.executed
        total.informative += tally.informative
        total.refused += tally.refused
        total.waived += tally.waived
        total.failures += tally.failures
        total.finding = total.finding or tally.finding
        total.measures = join(total.measures, tally.measures)
        if tally.worst is not None and (total.worst is None or tally.worst > total.worst):
            total.worst, total.worst_case = tally.worst, tally.worst_case
    return total


def first_findings(results: Sequence[BlockResult]) -> dict[str, tuple[Block, Finding]]:
    """The first finding of each clause, and the block that holds it."""
    found: dict[str, tuple[Block, Finding]] = {}
    for result in results:
        for clause, tally in result.tallies.items():
            if tally.finding is not None and clause not in found:
                found[clause] = (result.block, tally.finding)
    return found


def decide_cell(clause: Clause, tally: Tally, dtype: str, device: str, profile: Profile, complete: bool) -> Cell:
    """A cell passes where nothing failed and enough of its cases were informative; a GRADE is measured or is not.

    It is waived where nothing failed but what is waived. What the subject refuses is not asked for again; where it
    refused in every case, the cell is skipped.
    """
    outcome: Outcome
    if tally.finding is not None:
        outcome = "timed-out" if tally.finding.timed_out else "crashed" if tally.finding.crashed else "fail"
    elif not tally.executed:
        outcome = "not-run"
    elif complete and tally.waived:
        outcome = "waived"
    elif clause.level == "GRADE":
        outcome = "measured" if tally.measures else "vacuous"
    elif complete and tally.refused == tally.executed:
        outcome = "skip"
    elif tally.informative + tally.refused < clause.asks_for(profile.column, dtype) or not complete:
        outcome = "vacuous"
    else:
        outcome = "pass"
    value, worths = describe(tally.measures), {name: measure.worth[0] for name, measure in tally.measures.items()}
    return Cell(dtype, device, outcome, tally.executed, tally.informative, tally.worst, value, tally.worst_case, worths)


ORDER: tuple[Outcome, ...] = (*FAILED, "vacuous", "not-run", "waived", "measured", "pass", "skip")
"""Of several cells the first of these speaks for the clause."""


def report_clause(clause: Clause, cells: Sequence[Cell], absent: Sequence[Cell]) -> ClauseReport:
    """One clause over its cells; `absent` are those of devices that are not there, shown and not counted."""
    outcome = next(outcome for outcome in ORDER if any(cell.outcome == outcome for cell in cells))
    ratios = [(cell.worst_ratio, cell.case) for cell in cells if cell.worst_ratio is not None]
    worst, case = max(ratios, key=lambda pair: pair[0]) if ratios else (None, None)
    executed, informative = sum(c.executed for c in cells), sum(c.informative for c in cells)
    few = next((cell for cell in cells if cell.outcome == "vacuous"), None)
    why = None
    if outcome == "vacuous" and clause.level == "GRADE":
        why = "nothing of it could be measured"
    elif outcome == "vacuous" and few is not None:
        why = f"only {few.informative} informative cases of {few.executed} in {few.dtype} on {few.device}"
    if outcome == "skip":
        why = "the target does not offer it: it raises where it is asked"
    return ClauseReport(
        clause.id, clause.level, clause.status, outcome, executed, informative, worst, _join_values(cells),
        why, case,
        cells=(*cells, *absent),
    )  # fmt: skip


def _join_values(cells: Sequence[Cell]) -> str | None:
    """What was measured in each dtype, and on each device where there are several."""
    several = len({cell.device for cell in cells}) > 1
    told = [(f"{c.dtype} on {c.device}" if several else c.dtype, c.value) for c in cells if c.value is not None]
    return "; ".join(f"{where}: {value}" for where, value in told) or None


def report_unjudged(clause: Clause, outcome: Outcome, why: str) -> ClauseReport:
    """A clause that no case was run for."""
    return ClauseReport(clause.id, clause.level, clause.status, outcome, 0, 0, None, None, why, None)


@dataclass(frozen=True)
class Rule:
    """What decides a verdict: MUST clauses, SHOULD clauses too where it is strict; of those newer than `spec` none."""

    strict: bool = False
    spec: str = SPEC_VERSION

    def decides(self, clause: str) -> bool:
        """Does a failure of this clause decide? One of a GRADE does as its row says."""
        row = CLAUSES[clause]
        counts_as = row.fails_as if row.level == "GRADE" else row.level
        known = read_version(row.since) <= read_version(self.spec)
        return known and row.status == "active" and (counts_as == "MUST" or (self.strict and counts_as == "SHOULD"))


def rule_of(report: TargetReport) -> Rule:
    """What decided the verdict of a report."""
    return Rule(bool(report.scope["strict"]), str(report.scope.get("spec", report.spec_version)))


def decide_verdict(reports: Iterable[ClauseReport], rule: Rule) -> Verdict:
    """Clauses that decide make it by their failures; what they lack makes it incomplete.

    A GRADE decides by its failures alone.
    """
    deciding = [report for report in reports if rule.decides(report.id)]
    if any(report.outcome in FAILED for report in deciding):
        return "does not conform"
    asked = [report for report in deciding if CLAUSES[report.id].level != "GRADE"]
    if any(report.outcome in ("vacuous", "not-run") for report in asked) or not any(
        report.outcome in ("pass", "measured", "waived") for report in deciding
    ):
        return "incomplete"
    return "conforms"


def describe_ratio(ratio: float | None) -> str:
    """A ratio in words: units of the bound, or that no bound can express it."""
    if ratio is None:
        return "-"
    if math.isinf(ratio):
        return "no bound"
    return f"{ratio:.3g}"
