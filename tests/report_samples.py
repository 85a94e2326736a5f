"""Reports as runs make them: of a right layer, of one that fails F1, of one on which too little ran."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from bnspec.certificate.merge import Rule, decide_cell, decide_verdict, report_clause, report_unjudged
from bnspec.certificate.model import Cell, ClauseReport, Outcome, TargetReport
from bnspec.engine.blocks import Tally
from bnspec.engine.judging import Finding
from bnspec.engine.profiles import PROFILES
from bnspec.spec.clauses import CLAUSES, SPEC_VERSION

SMOKE, STANDARD = PROFILES["smoke"], PROFILES["standard"]
F1 = CLAUSES["F1"]
ADDRESS = "training/float32/2x2/eps=0.1,momentum=0.3"


def finding(ratio: float = 40.0, *, crashed: bool = False, case: str = ADDRESS) -> Finding:
    return Finding("F1", "cpu", case, ratio, "y", "2.5", "0.5", "channel 1, value 0", crashed)


def cell(tally: Tally, profile: Any = SMOKE, *, complete: bool = True, device: str = "cpu") -> Cell:
    return decide_cell(F1, tally, "float32", device, profile, complete)


def clause_report(clause: str, outcome: Outcome, **fields: Any) -> ClauseReport:
    row = CLAUSES[clause]
    made = ClauseReport(row.id, row.level, row.status, outcome, 100, 100, 0.25, None, None, ADDRESS)
    return replace(made, **fields)


def target_report(clauses: Iterable[ClauseReport], strict: bool = False, **fields: Any) -> TargetReport:
    reports = tuple(clauses)
    scope: dict[str, object] = {
        "ranks": [2, 3], "dtypes": ["float32"], "devices": ["cpu"], "devices_not_there": ["cuda"],
        "abilities": ["gradients"], "without": [], "clauses": [], "eps": None, "momentum": None, "channels": None,
        "algorithm": None, "reproducible": [], "strict": strict, "spec": SPEC_VERSION, "understood": "",
    }  # fmt: skip
    made = TargetReport(
        "layers.py:Fast", {"unbiased": False}, "torch", "asked for", scope, "smoke", 0, SPEC_VERSION,
        decide_verdict(reports, Rule(strict)), {"torch": "2.13.0"}, 1.25, reports,
    )  # fmt: skip
    return replace(made, **fields)


def passing() -> list[ClauseReport]:
    """Every clause as a run of a right layer reports it."""
    enough = Tally(100, 100, 0.25, ADDRESS)
    return [
        report_clause(clause, [cell(enough)], [])
        if clause.status == "active"
        else report_unjudged(clause, "not-run", "planned: not yet checked")
        for clause in CLAUSES.values()
    ]


def with_f1(report: ClauseReport) -> list[ClauseReport]:
    return [report if each.id == "F1" else each for each in passing()]


def failing_report() -> TargetReport:
    tally = Tally(100, 90, math.inf, ADDRESS, 3, finding(math.inf))
    failed = report_clause(F1, [cell(tally)], [])
    why = "y: got 2.5, wanted 0.5 at channel 1, value 0"
    return target_report(with_f1(replace(failed, why=why, case=f"cpu/{ADDRESS}")))


def incomplete_report() -> TargetReport:
    return target_report(with_f1(report_clause(F1, [cell(Tally(10, 3, 0.5, ADDRESS))], [])))
