"""What the plugin does where targets are given: one item a clause and one a verdict, for each target."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bnspec.cases.case import AddressError
from bnspec.certificate.files import check_writable, write_whole
from bnspec.certificate.json_face import report_from_json, report_to_json
from bnspec.certificate.model import Certificate, TargetReport
from bnspec.certificate.terminal import render_verdict
from bnspec.engine.plan import Request, UsageError, check_request
from bnspec.engine.threads import prefer_one_thread
from bnspec.layers.target import TargetError, make_importable, parse_arguments
from bnspec.plugin_items import VERDICT, Assignment, judge
from bnspec.settings import Order, read_orders
from bnspec.waivers import waive


class Desk:
    """The session's plugin object. `gates` where no path was named and the project asks for its items."""

    def __init__(self, config: pytest.Config, blocks: Path, *, gates: bool) -> None:
        prefer_one_thread()
        self.json: str | None = config.getoption("bn_json")
        self.gates = gates
        self.is_worker = hasattr(config, "workerinput")
        try:
            orders = _read_project(config.rootpath) if gates else _read_options(config)
            check_writable("--bn-json", self.json)
            self.assignments = [Assignment(order, blocks, repr((n, order))) for n, order in enumerate(orders)]
            for assignment in self.assignments:
                _ = assignment.plan
        except (TargetError, UsageError, AddressError) as error:
            raise pytest.UsageError(f"bnspec: {error}") from None
        self.verdicts: dict[str, TargetReport] = {}

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        """Items of the suite's own file, where a path names it."""
        if "bn_item" in metafunc.fixturenames:
            pairs = [(a, item) for a in self.assignments for item in a.items]
            metafunc.parametrize("bn_item", pairs, ids=[f"{a.order.target}-{item}" for a, item in pairs])

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, session: pytest.Session, items: list[pytest.Item]) -> None:
        """Items of a project that asks for them; options such as -k choose among them afterwards."""
        if self.gates:
            gate = Gate.from_parent(session, name="bnspec", path=session.path, nodeid="bnspec", desk=self)
            items.extend(gate.collect())

    @pytest.hookimpl(tryfirst=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> bool | None:
        """Run the items of the suite; their function is only the place they hang on."""
        arguments = getattr(pyfuncitem, "callspec", None)
        if arguments is None or "bn_item" not in arguments.params:
            return None
        self.run(pyfuncitem, *arguments.params["bn_item"])
        return True

    def run(self, item: pytest.Item, assignment: Assignment, name: str) -> None:
        """Fail, skip or pass an item by the report on its clause, or by the verdict."""
        if name == VERDICT:
            report = assignment.report()
            item.user_properties.append((VERDICT, report.verdict))
            item.stash[_REPORT] = report_to_json(report)
        report = judge(assignment, name)
        if name != VERDICT:
            found = report.clause(name)
            item.user_properties += [("executed", found.executed), ("informative", found.informative)]
            item.user_properties += [("value", found.value)] if found.value else []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Any:
        outcome = yield
        if outcome.when == "call" and _REPORT in item.stash:
            outcome.bnspec_report = item.stash[_REPORT]  # travels from a worker to the controller as text
        return outcome

    def pytest_runtest_logreport(self, report: Any) -> None:
        text = getattr(report, "bnspec_report", None)
        if text is not None:
            self.verdicts[report.nodeid] = report_from_json(text)

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        if self.verdicts:
            terminalreporter.section("bnspec")
        for report in self.verdicts.values():
            terminalreporter.write_line(render_verdict(report))

    def pytest_sessionfinish(self) -> None:
        if self.json and self.verdicts and not self.is_worker:
            write_whole("--bn-json", self.json, Certificate(tuple(self.verdicts.values())).to_json())


class Gate(pytest.Collector):
    """What a project asks for, beside its own tests."""

    desk: Desk

    @classmethod
    def from_parent(cls, parent: Any, *, desk: Desk, **names: Any) -> Gate:  # type: ignore[override]  # its own argument
        """As pytest makes nodes, for a desk."""
        gate: Gate = super().from_parent(parent, **names)
        gate.desk = desk
        return gate

    def collect(self) -> Iterator[GateItem]:
        """An item a clause and one a verdict, of each target."""
        for assignment in self.desk.assignments:
            for name in assignment.items:
                item: GateItem = GateItem.from_parent(self, name=f"{assignment.order.target}-{name}")
                item.asked = (self.desk, assignment, name)
                yield item


class GateItem(pytest.Item):
    """One clause of one target, or its verdict."""

    asked: tuple[Desk, Assignment, str]

    def runtest(self) -> None:
        """Judge it."""
        desk, assignment, name = self.asked
        desk.run(self, assignment, name)

    def reportinfo(self) -> tuple[Path, None, str]:
        """Where it stands in reports: the project's settings ask for it."""
        return self.path / "pyproject.toml", None, self.name


def _read_options(config: pytest.Config) -> list[Order]:
    option = config.getoption
    request = check_request(Request(
        option("bn_dialect"), option("bn_profile"), option("bn_seed"), tuple(option("bn_device")),
        tuple(option("bn_dtype")), tuple(option("bn_without")), tuple(option("bn_clause")), option("bn_strict"),
        spec=option("bn_spec") or Request.spec,
    ))  # fmt: skip
    arguments = parse_arguments(option("bn_arg"))
    file = Path(option("bn_waivers")) if option("bn_waivers") else None
    return [Order(text, waive(request, text, file), arguments, option("bn_isolate")) for text in option("bn")]


def _read_project(root: Path) -> list[Order]:
    make_importable(root)
    return read_orders(root)


_REPORT: pytest.StashKey[str] = pytest.StashKey()
