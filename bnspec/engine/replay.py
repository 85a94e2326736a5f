"""The examples of waivers, replayed before anything else runs: does what is waived fail still?"""

from __future__ import annotations

import warnings
from dataclasses import replace

from bnspec.certificate.model import WaiverOutcome, WaiverReport
from bnspec.engine.guard import Guard
from bnspec.engine.judging import experiments, judge_case
from bnspec.engine.plan import Plan, UsageError
from bnspec.engine.subject import Subject
from bnspec.spec.clauses import CLAUSES
from bnspec.waivers import Waiver


def replay_waivers(subject: Subject, plan: Plan, guard: Guard) -> tuple[WaiverReport, ...]:
    """What comes of each waiver of the subject. Raises UsageError for one whose example it does not cover itself."""
    reports = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a subject warns of is its own affair
        for waiver in subject.waivers:
            _check_example(waiver)
            outcome, why = _replay(subject, plan, waiver, guard)
            told = (waiver.reason, waiver.link, waiver.expires.isoformat(), waiver.case)
            reports.append(WaiverReport(waiver.place, waiver.clause, outcome, why, *told))
    return tuple(reports)


def _check_example(waiver: Waiver) -> None:
    case, experiment = waiver.example, experiments().get(waiver.example.experiment)
    if experiment is None or waiver.clause not in experiment.judges:
        said = f"a case of {case.experiment!r} says nothing on {waiver.clause}"
        raise UsageError(f"{waiver.place}: {said}: give one that fails it")
    needs = {*CLAUSES[waiver.clause].needs, *experiment.needs}
    if not replace(waiver, expired=False).covers(waiver.clause, case, waiver.device, needs):
        raise UsageError(f"{waiver.place}: its own case is not one of those that `where` waives")


def _replay(subject: Subject, plan: Plan, waiver: Waiver, guard: Guard) -> tuple[WaiverOutcome, str]:
    case, clause = waiver.example, waiver.clause
    if waiver.expired:
        return "expired", f"it was to end on {waiver.expires}: mend the layer, or look at it anew and set another day"
    if clause not in plan.clauses:
        return "not tried", f"{clause} is not judged in this run"
    if waiver.device not in plan.devices:
        return "not tried", f"{waiver.device} is not judged in this run"
    if case.dtype not in plan.dtypes or len(case.shape) not in subject.promises.ranks:
        return "not tried", "its case is none that is judged in this run"
    bare = replace(subject, waivers=())
    if guard(lambda: judge_case(bare, case, waiver.device, (clause,))[clause].failed, True):
        return "holds", "its case fails still"
    return "not needed", "its case passes: delete it"
