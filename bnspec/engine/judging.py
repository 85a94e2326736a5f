"""One case, acted out once and judged by every clause that can say something about it."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

from bnspec.cases.case import Case
from bnspec.engine.subject import Subject
from bnspec.layers.protocol import SubjectError
from bnspec.layers.surroundings import preserving
from bnspec.spec.clauses import CLAUSES

if TYPE_CHECKING:
    from bnspec.conformance.compare import Judgement
    from bnspec.conformance.experiment import Experiment


@dataclass(frozen=True)
class Finding:
    """A case that fails a clause: by how many bounds, what was got and wanted, and where."""

    clause: str
    device: str
    case: str
    ratio: float
    quantity: str
    got: str
    wanted: str
    where: str
    crashed: bool
    timed_out: bool = False


@cache
def experiments() -> dict[str, Experiment]:
    """The table of experiments, found by name so that the core does not depend on the suite."""
    table: dict[str, Experiment] = import_module("bnspec.conformance.table").EXPERIMENTS
    return table


@cache
def blocks_in_haste() -> tuple[tuple[str, str], ...]:
    """The experiments and dtypes whose blocks refuse most wrong layers a second, in this order."""
    order: tuple[tuple[str, str], ...] = import_module("bnspec.conformance.table").IN_HASTE
    return order


def judge_case(subject: Subject, case: Case, device: str, clauses: Collection[str]) -> dict[str, Judgement]:
    """Act `case` out and judge the record by those of `clauses` that its experiment feeds; undo what else changed.

    A failure that is waived compares nothing. Where the framework has not the case's setting, as NumPy has no threads,
    the process stays as it is.
    """
    framework = subject.implementation.framework
    with preserving(framework):
        framework.write_globals(framework.settings.get(case.setting, {}))
        judgements = _act_and_judge(subject, case, device, clauses)
    return {clause: _waive(judged, subject, clause, case, device) for clause, judged in judgements.items()}


def _waive(judged: Judgement, subject: Subject, clause: str, case: Case, device: str) -> Judgement:
    waived = judged.failed and waives(subject, clause, case, device)
    return replace(judged, ratio=None, informative=False, waived=True) if waived else judged


def waives(subject: Subject, clause: str, case: Case, device: str) -> bool:
    """Is a failure of the clause on this case waived?"""
    needs = {*CLAUSES[clause].needs, *experiments()[case.experiment].needs}
    return any(waiver.covers(clause, case, device, needs) for waiver in subject.waivers)


def _act_and_judge(subject: Subject, case: Case, device: str, clauses: Collection[str]) -> dict[str, Judgement]:
    from bnspec.conformance.acting import Stage

    experiment = experiments()[case.experiment]
    judges = {clause: judge for clause, judge in experiment.judges.items() if clause in clauses}
    try:
        record = experiment.act(Stage(subject, case, device))
    except SubjectError as error:
        return {clause: report_crash(error) for clause in judges}
    judgements = {}
    for clause, judge in judges.items():
        try:
            judgements[clause] = judge(record)
        except SubjectError as error:
            judgements[clause] = report_crash(error)
    return judgements


def report_crash(error: SubjectError) -> Judgement:
    """What a subject raised, as a judgement."""
    from bnspec.conformance.compare import Judgement

    wanted = {"construction": "a layer", "forward": "an output", "backward": "gradients", "state": "a state"}[
        error.stage
    ]
    return Judgement(math.inf, True, f"the {error.stage}", error.reason, wanted, crashed=True)


def find(clause: str, case: Case, device: str, judgement: Judgement) -> Finding:
    """The finding of a failed judgement."""
    ratio = math.inf if judgement.ratio is None else judgement.ratio
    j = judgement
    return Finding(clause, device, case.address(), ratio, j.quantity, j.got, j.wanted, j.where, j.crashed, j.timed_out)
