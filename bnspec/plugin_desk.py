"""What the plugin does where targets are given: one item a clause and one a verdict, for each target."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from bnspec.api import make_subject, make_subject_isolated
from bnspec.cases.case import AddressError
from bnspec.certificate.files import check_writable, write_whole
from bnspec.certificate.json_face import report_from_json, report_to_json
from bnspec.certificate.merge import decides
from bnspec.certificate.model import FAILED, Certificate, ClauseReport, TargetReport
from bnspec.certificate.terminal import render_failure, render_verdict
from bnspec.engine.blocks import Block, BlockResult
from bnspec.engine.isolation import Isolated
from bnspec.engine.plan import Plan, Request, UsageError, check_request, make_plan
from bnspec.engine.run import call_here, certify_subject, run_here, say_why_unjudged
from bnspec.engine.store import SharedBlocks
from bnspec.engine.subject import Subject
from bnspec.engine.threads import prefer_one_thread
from bnspec.layers.target import TargetError, load_target, parse_arguments
from bnspec.spec.clauses import CLAUSES


@dataclass
class Assignment:
    """One target of the session, loaded when its first item runs."""

    text: str
    request: Request
    arguments: dict[str, Any]
    shared: Path
    isolated: Isolated | None
    reports: dict[tuple[str, ...], TargetReport] = field(default_factory=dict)

    @cached_property
    def loaded(self) -> tuple[Subject, str]:
        obj = load_target(self.text).obj
        if self.isolated:
            return make_subject_isolated(obj, self.request, self.arguments, self.text, self.text)
        return make_subject(obj, self.request, self.arguments, self.text)

    @cached_property
    def plan(self) -> Plan:
        return make_plan(self.loaded[0], self.request)

    def report(self, *clauses: str) -> TargetReport:
        """The report on some clauses, or on all. Blocks that were run for one clause are kept for the next."""
        if clauses not in self.reports:
            request = replace(self.request, clauses=clauses) if clauses else self.request
            subject, source = self.loaded
            guard = self.isolated.attempt if self.isolated else call_here
            self.reports[clauses] = certify_subject(
                subject, request, self.text, self.arguments, source, self._run_blocks, guard
            )
        return self.reports[clauses]

    def _run_blocks(self, subject: Subject, plan: Plan, blocks: list[Block]) -> Iterator[BlockResult]:
        """Blocks judge every clause of the request, whichever item asks, so that one run serves all items."""
        key = repr((self.text, sorted(self.arguments.items()), self.request))
        shared = SharedBlocks(self.shared, key, self.isolated or run_here)
        return shared(subject, replace(plan, clauses=self.plan.clauses), blocks)


class Desk:
    """The session's plugin object."""

    def __init__(self, config: pytest.Config) -> None:
        prefer_one_thread()
        option = config.getoption
        self.json: str | None = option("bn_json")
        request = Request(
            option("bn_dialect"), option("bn_profile"), option("bn_seed"), tuple(option("bn_device")),
            tuple(option("bn_dtype")), tuple(option("bn_without")), tuple(option("bn_clause")), option("bn_strict"),
        )  # fmt: skip
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        worker = getattr(config, "workerinput", None)
        if worker is None:
            self._folder = tempfile.TemporaryDirectory(prefix="bnspec-")
        self.shared = Path(worker["bnspec_blocks"] if worker is not None else self._folder.name)  # type: ignore[union-attr]  # without a worker there is a folder
        try:
            request = check_request(request)
            check_writable("--bn-json", self.json)
            arguments = parse_arguments(option("bn_arg"))
            self.assignments = [
                Assignment(text, request, arguments, self.shared, Isolated() if option("bn_isolate") else None)
                for text in option("bn")
            ]
            for assignment in self.assignments:
                _ = assignment.plan
        except (TargetError, UsageError, AddressError) as error:
            raise pytest.UsageError(f"bnspec: {error}") from None
        self.verdicts: dict[str, TargetReport] = {}
        self.began = time.perf_counter()

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self, node: Any) -> None:
        """Tell a worker of pytest-xdist where blocks are shared."""
        node.workerinput["bnspec_blocks"] = str(self.shared)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "bn_clause" in metafunc.fixturenames:
            pairs = [(a, clause) for a in self.assignments for clause in a.request.clauses or CLAUSES]
            metafunc.parametrize("bn_clause", pairs, ids=[f"{a.text}-{clause}" for a, clause in pairs])
        if "bn_verdict" in metafunc.fixturenames:
            metafunc.parametrize("bn_verdict", self.assignments, ids=[f"{a.text}-verdict" for a in self.assignments])

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Run the items of the suite; their functions are only the places they hang on."""
        arguments = getattr(pyfuncitem, "callspec", None)
        if arguments is None:
            return None
        if "bn_clause" in arguments.params:
            self.judge(pyfuncitem, *arguments.params["bn_clause"])
            return True
        if "bn_verdict" in arguments.params:
            self.conclude(pyfuncitem, arguments.params["bn_verdict"])
            return True
        return None

    def judge(self, item: pytest.Item, assignment: Assignment, clause: str) -> None:
        """Fail, skip or pass an item by the report on its clause; an expected failure is one that decides nothing."""
        if clause not in assignment.plan.clauses:
            outcome, why = say_why_unjudged(clause, assignment.loaded[0], assignment.request, assignment.plan.dtypes)
            pytest.skip(f"{clause}: {outcome}, {why}")
        report = assignment.report(clause)
        found = report.clause(clause)
        item.user_properties += [("executed", found.executed), ("informative", found.informative)]
        item.user_properties += [("value", found.value)] if found.value else []
        self._tell(found, report)

    def _tell(self, found: ClauseReport, report: TargetReport) -> None:
        if found.outcome in FAILED:
            words = "\n".join(render_failure(found, report))
            if not decides(found.id, found.level, bool(report.scope["strict"])):
                pytest.xfail(words)
            pytest.fail(words, pytrace=False)
        if found.outcome not in ("pass", "measured"):
            pytest.skip(f"{found.id}: {found.outcome}, {found.why}")

    def conclude(self, item: pytest.Item, assignment: Assignment) -> None:
        """The verdict on a target: fails where it does not conform, and where too little ran to say."""
        report = assignment.report()
        item.user_properties.append(("verdict", report.verdict))
        item.stash[_REPORT] = report_to_json(report)
        if report.verdict != "conforms":
            pytest.fail(render_verdict(report), pytrace=False)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        outcome = yield
        if outcome.when == "call" and _REPORT in item.stash:
            outcome.bnspec_report = item.stash[_REPORT]  # travels from a worker to the controller as text
        return outcome

    def pytest_runtest_logreport(self, report: Any) -> None:
        text = getattr(report, "bnspec_report", None)
        if text is not None:
            found = report_from_json(text)
            self.verdicts[found.target] = found

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.verdicts:
            terminalreporter.section("bnspec")
        for report in self.verdicts.values():
            terminalreporter.write_line(render_verdict(report))

    def pytest_sessionfinish(self) -> None:
        if self.json and self.verdicts and self._folder is not None:
            write_whole("--bn-json", self.json, Certificate(tuple(self.verdicts.values())).to_json())
        if self._folder is not None:
            self._folder.cleanup()


_REPORT: pytest.StashKey[str] = pytest.StashKey()
