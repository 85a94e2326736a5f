"""What an item of pytest does, whoever collects it: one clause of one target is judged, or the verdict told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from bnspec.api import make_subject, make_subject_isolated
from bnspec.certificate.merge import rule_of
from bnspec.certificate.model import FAILED, TargetReport
from bnspec.certificate.terminal import render_failure, render_verdict, tell_stale
from bnspec.engine.blocks import Block, BlockResult
from bnspec.engine.guard import call_here
from bnspec.engine.isolation import Isolated
from bnspec.engine.plan import Plan, make_plan
from bnspec.engine.run import certify_subject, run_here, say_why_unjudged
from bnspec.engine.store import SharedBlocks
from bnspec.engine.subject import Subject
from bnspec.layers.target import load_target, names
from bnspec.settings import Order
from bnspec.spec.clauses import CLAUSES

VERDICT = "verdict"
"""The name of the item that is no clause."""


@dataclass
class Assignment:
    """One target of the session, made when its first item runs. `obj` is None where the text of the order names it.

    Blocks that were run are kept in the folder `shared`, for every item of this session and its workers that asks for
    them under the same `key`.
    """

    order: Order
    shared: Path
    key: str
    obj: Any = None
    reports: dict[tuple[str, ...], TargetReport] = field(default_factory=dict)

    @cached_property
    def _isolated(self) -> Isolated | None:
        return Isolated() if self.order.isolate else None

    @cached_property
    def loaded(self) -> tuple[Subject, str]:
        """The subject, and where its dialect came from. Raises TargetError or UsageError."""
        text: str | None = self.order.target
        obj = load_target(self.order.target).obj if self.obj is None else self.obj
        if self.obj is not None and not names(self.order.target, self.obj):
            text = None
        request, arguments = self.order.request, self.order.arguments
        if self._isolated:
            return make_subject_isolated(obj, request, arguments, self.order.target, text)
        return make_subject(obj, request, arguments, text)

    @cached_property
    def plan(self) -> Plan:
        """What is judged of it. Raises as `loaded` does."""
        return make_plan(self.loaded[0], self.order.request)

    @property
    def items(self) -> list[str]:
        """The clauses that have an item each, and the verdict."""
        return [*(self.order.request.clauses or CLAUSES), VERDICT]

    def report(self, *clauses: str) -> TargetReport:
        """The report on some clauses, or on all. Blocks that were run for one clause are kept for the next."""
        if clauses not in self.reports:
            request = replace(self.order.request, clauses=clauses) if clauses else self.order.request
            subject, source = self.loaded
            guard = self._isolated.attempt if self._isolated else call_here
            self.reports[clauses] = certify_subject(
                subject, request, self.order.target, self.order.arguments, source, self._run_blocks, guard
            )
        return self.reports[clauses]

    def _run_blocks(self, subject: Subject, plan: Plan, blocks: list[Block]) -> Iterator[BlockResult]:
        """Blocks judge every clause of the request, whichever item asks, so that one run serves all items."""
        shared = SharedBlocks(self.shared, self.key, self._isolated or run_here)
        return shared(subject, replace(plan, clauses=self.plan.clauses), blocks)


def judge(assignment: Assignment, item: str) -> TargetReport:
    """The report that an item passed by; else pytest's failure, skip or expected failure is raised.

    The verdict fails where the target does not conform, and where too little ran to say.
    """
    if item != VERDICT:
        return _judge_clause(assignment, item)
    report = assignment.report()
    if report.verdict != "conforms" or report.stale:
        pytest.fail("\n".join([*tell_stale(report), render_verdict(report)]), pytrace=False)
    return report


def _judge_clause(assignment: Assignment, clause: str) -> TargetReport:
    """What fails and decides nothing is an expected failure."""
    if clause not in assignment.plan.clauses:
        request, dtypes = assignment.order.request, assignment.plan.dtypes
        outcome, why = say_why_unjudged(clause, assignment.loaded[0], request, dtypes)
        pytest.skip(f"{clause}: {outcome}, {why}")
    report = assignment.report(clause)
    found = report.clause(clause)
    if found.outcome in FAILED:
        words = "\n".join(render_failure(found, report))
        if not rule_of(report).decides(found.id):
            pytest.xfail(words)
        pytest.fail(words, pytrace=False)
    if found.outcome == "waived":
        pytest.xfail(f"{found.id}: waived, {found.why}")
    if found.outcome not in ("pass", "measured"):
        pytest.skip(f"{found.id}: {found.outcome}, {found.why}")
    return report
