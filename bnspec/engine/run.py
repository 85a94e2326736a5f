"""From a subject and a request to a report: plan, blocks, findings, their smallest cases, and what they look like."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace

from bnspec.certificate.merge import (
    Rule,
    decide_cell,
    decide_verdict,
    first_findings,
    merge_tallies,
    report_clause,
    report_unjudged,
)
from bnspec.certificate.model import Cell, ClauseReport, Outcome, TargetReport
from bnspec.engine.blocks import Block, BlockResult, run_block
from bnspec.engine.contrast import is_worth_telling, tell_conditions
from bnspec.engine.explain import Explanation, explain
from bnspec.engine.guard import Guard, call_here
from bnspec.engine.judging import Finding, experiments
from bnspec.engine.plan import (
    Plan,
    Request,
    absent_modules,
    is_judged,
    is_reached,
    make_plan,
    runs_by_itself,
    say_absent,
)
from bnspec.engine.profiles import PROFILES
from bnspec.engine.replay import replay_waivers
from bnspec.engine.shrinking import shrink
from bnspec.engine.subject import Subject
from bnspec.spec.clauses import CLAUSES, SPEC_VERSION
from bnspec.waivers import tell_waived

Runner = Callable[[Subject, Plan, list[Block]], Iterable[BlockResult]]
Watch = Callable[[Sequence[Block], int], None]
"""Is told the blocks of a run, and how many of them are done."""
CONTRASTED = 3
"""Most clauses whose finding is judged again under plainer conditions."""
SHRUNK = 12
"""Most clauses whose finding is shrunk; a layer that fails more fails them for few reasons. Only those that decide the
verdict are: a missed SHOULD keeps its first case, except where `strict` makes it decide."""


def run_here(subject: Subject, plan: Plan, blocks: list[Block]) -> Iterator[BlockResult]:
    """Run blocks one after the other, in this process."""
    for block in blocks:
        yield run_block(subject, block, plan.seed, plan.clauses, plan.ending)


def list_due(subject: Subject, plan: Plan) -> list[Block]:
    """The blocks of a plan whose experiments the subject can take part in."""
    return [block for block in plan.blocks() if subject.offers(*experiments()[block.experiment].needs)]


def certify_subject(
    subject: Subject, request: Request, target: str, arguments: dict[str, object], dialect_source: str,
    runner: Runner = run_here, guard: Guard = call_here, watch: Watch | None = None,
) -> TargetReport:  # fmt: skip
    """Judge a subject and report. Never raises for what the subject does, but UsageError for what cannot be asked.

    `runner` runs the blocks, `guard` whatever calls the subject afterwards, to shrink and to explain. Who watches is
    told how far it is, and gets an incomplete report where the run is interrupted after its first block; else
    KeyboardInterrupt is raised.
    """
    began = time.perf_counter()
    plan = make_plan(subject, request)
    waivers = replay_waivers(subject, plan, guard)
    due = list_due(subject, plan)
    results: list[BlockResult] = []
    interrupted = False
    try:
        for result in runner(subject, plan, due):
            results.append(result)
            if watch is not None:
                watch(due, len(results))
            if _has_ended([result], plan):
                break
    except KeyboardInterrupt:
        if watch is None or not results:
            raise
        interrupted = True
    report = assemble(subject, plan, request, results, target, arguments, dialect_source, began, guard, interrupted)
    return replace(report, waivers=waivers)


def assemble(
    subject: Subject, plan: Plan, request: Request, results: list[BlockResult], target: str,
    arguments: dict[str, object], dialect_source: str, began: float, guard: Guard = call_here,
    interrupted: bool = False,
) -> TargetReport:  # fmt: skip
    """The report on the results of all blocks of a plan, or of some where it was interrupted; none is shrunk then."""
    rule = Rule(request.strict, request.spec)
    stopped = interrupted or _has_ended(results, plan)
    findings = first_findings(results)
    found = {} if interrupted else {clause: finding for clause, (_, finding) in findings.items()}
    explanation = guard(lambda: explain(subject, found), Explanation())
    conditions: dict[str, str] = {}
    if not (request.fail_fast or interrupted):
        findings = guard(lambda: _shrink_findings(subject, plan.seed, findings, rule), findings)
        conditions = guard(lambda: _find_conditions(subject, findings, rule), conditions)
    reports = []
    for clause in CLAUSES.values():
        if clause.id in plan.clauses:
            cells, absent = _judge_cells(clause.id, plan, results, complete=not stopped)
            report = report_clause(clause, cells, absent)
            if report.outcome == "waived":
                report = replace(report, why=tell_waived(clause.id, subject.waivers))
            if clause.id in findings:
                looks = [words for words in (explanation.mistakes.get(clause.id), conditions.get(clause.id)) if words]
                report = _add_finding(report, findings[clause.id][1], looks)
        else:
            report = report_unjudged(clause, *say_why_unjudged(clause.id, subject, request, plan.dtypes))
        reports.append(report)
    return TargetReport(
        target, arguments, subject.dialect.name, dialect_source, _describe_scope(subject, plan, request),
        request.profile, request.seed, SPEC_VERSION, decide_verdict(reports, rule),
        subject.implementation.environment(), round(time.perf_counter() - began, 3), tuple(reports),
        explanation.dialect, interrupted=interrupted,
    )  # fmt: skip


def _has_ended(results: list[BlockResult], plan: Plan) -> bool:
    """Whether a clause has a finding that ends the run."""
    return not plan.ending.isdisjoint(first_findings(results))


def _shrink_findings(
    subject: Subject, seed: int, findings: dict[str, tuple[Block, Finding]], rule: Rule
) -> dict[str, tuple[Block, Finding]]:
    deciding = [clause for clause in findings if rule.decides(clause)]
    shrunk = {clause: (block, shrink(subject, block, seed, first))
              for clause in deciding[:SHRUNK] for block, first in [findings[clause]]}  # fmt: skip
    return findings | shrunk


def _judge_cells(
    clause: str, plan: Plan, results: list[BlockResult], *, complete: bool
) -> tuple[list[Cell], list[Cell]]:
    cells, dtypes = [], plan.dtypes_of(clause)
    for dtype in dtypes:
        for device in plan.devices:
            tallies = [
                result.tallies[clause]
                for result in results
                if clause in result.tallies and (result.block.dtype, result.block.device) == (dtype, device)
            ]
            cells.append(decide_cell(CLAUSES[clause], merge_tallies(tallies), dtype, device, plan.profile, complete))
    absent = [Cell(dtype, kind, "not-run", 0, 0, None, None, None) for dtype in dtypes for kind in plan.absent]
    return cells, absent


def _find_conditions(subject: Subject, findings: dict[str, tuple[Block, Finding]], rule: Rule) -> dict[str, str]:
    """Under which conditions the first of the deciding failures vanish, by clause."""
    worth = [c for c in findings if rule.decides(c) and is_worth_telling(c)]
    told = {clause: tell_conditions(subject, findings[clause][1]) for clause in worth[:CONTRASTED]}
    return {clause: words for clause, words in told.items() if words}


def _add_finding(report: ClauseReport, finding: Finding, looks: list[str]) -> ClauseReport:
    """The report with the words of its finding, and the address of the smallest case."""
    where = f" at {finding.where}" if finding.where else ""
    why = f"{finding.quantity}: got {finding.got}, wanted {finding.wanted}{where}"
    return replace(report, why=why, looks="; ".join(looks) or None, case=f"{finding.device}/{finding.case}")


def say_why_unjudged(clause: str, subject: Subject, request: Request, dtypes: tuple[str, ...]) -> tuple[Outcome, str]:
    """A clause is not run where it is planned or not asked for, and skipped where the subject has not what it needs."""
    if CLAUSES[clause].status == "planned":
        return "not-run", "planned: not yet checked"
    if request.clauses and clause not in request.clauses:
        return "skip", "not asked for"
    if not is_reached(clause, PROFILES[request.profile]):
        return "skip", f"not judged in profile {request.profile}"
    if not request.clauses and not runs_by_itself(CLAUSES[clause], PROFILES[request.profile]):
        return "skip", f"judged in longer profiles, or by --clause {clause}"
    absent = absent_modules(clause)
    if absent:
        return "not-run", say_absent(clause, absent)
    if not any(is_judged(clause, dtype) for dtype in dtypes):
        return "skip", f"not judged in {', '.join(dtypes)}"
    missing = [ability for ability in CLAUSES[clause].needs if not subject.offers(ability)]
    left_out = [ability for ability in missing if ability in request.without]
    if left_out:
        return "skip", f"left out: without {left_out[0]}"
    if not missing and CLAUSES[clause].dtypes:
        return "skip", f"judged in {' and '.join(CLAUSES[clause].dtypes)} alone"
    return "skip", f"the target does not offer {missing[0] if missing else 'what its experiment needs'}"


def _describe_scope(subject: Subject, plan: Plan, request: Request) -> dict[str, object]:
    promises = subject.promises
    return {
        "ranks": sorted({rank for block in plan.blocks() for rank in subject.scope_of(block.index).ranks}),
        "dtypes": list(plan.dtypes),
        "devices": list(plan.devices),
        "devices_not_there": list(plan.absent),
        "abilities": sorted(promises.abilities),
        "without": sorted(request.without),
        "clauses": sorted(request.clauses),
        "eps": promises.eps,
        "momentum": None if promises.momentum == "free" else promises.momentum,
        "channels": promises.channels,
        "algorithm": promises.algorithm,
        "reproducible": list(promises.reproducible),
        "strict": request.strict,
        "spec": request.spec,
        "understood": subject.implementation.understood,
    }
