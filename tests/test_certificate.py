"""From tallies to cells, clauses, verdict and exit code; and the faces, as JSON after its schema and as text."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, ValidationError

import bnspec.certificate
from bnspec.certificate.json_face import render_json, report_from_json, report_to_json
from bnspec.certificate.merge import Rule, decide_verdict, merge_tallies, report_clause
from bnspec.certificate.model import Cell, Certificate, Outcome, TargetReport, Verdict
from bnspec.certificate.terminal import render, render_verdict
from bnspec.engine.blocks import Tally
from bnspec.engine.profiles import PROFILES
from bnspec.spec.clauses import CLAUSES
from tests.report_samples import (
    ADDRESS,
    F1,
    cell,
    clause_report,
    failing_report,
    finding,
    incomplete_report,
    passing,
    target_report,
)

SCHEMA = json.loads((Path(bnspec.certificate.__file__).parent / "schema.json").read_text(encoding="utf-8"))
# Tallies


def test_merged_tallies_add_up_and_keep_the_first_finding_and_the_first_worst_case() -> None:
    first, second = finding(), finding(case="another")
    tallies = [
        Tally(5, 4, 0.5, "a"),
        Tally(5, 5, None, None),
        Tally(5, 3, 40.0, "b", 1, first),
        Tally(5, 5, 40.0, "c", 2, second),
    ]
    assert merge_tallies(tallies) == Tally(20, 17, 40.0, "b", 3, first)
    assert merge_tallies([]) == Tally()


# Versions of the specification


def test_a_clause_that_is_newer_than_what_was_asked_for_decides_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(CLAUSES, "F2", replace(CLAUSES["F2"], since="1.10"))
    reports = [clause_report("F1", "pass"), clause_report("F2", "fail")]
    assert decide_verdict(reports, Rule(spec="1.10")) == "does not conform"
    assert decide_verdict(reports, Rule(spec="1.9")) == "conforms"
    assert decide_verdict([clause_report("F1", "fail"), clause_report("F2", "pass")], Rule(spec="1.9")) != "conforms"
    old = target_report(reports)
    old = replace(old, verdict="conforms", scope={**old.scope, "spec": "1.9"})
    assert "CONFORMS to torch; misses F2, which decide nothing" in render_verdict(old)


# Cells


@pytest.mark.parametrize(
    ("tally", "outcome"),
    [
        (Tally(100, 100, 0.99, ADDRESS), "pass"),
        (Tally(100, F1.informative[0], 0.5, ADDRESS), "pass"),
        (Tally(100, F1.informative[0] - 1, 0.5, ADDRESS), "vacuous"),
        (Tally(100, 0), "vacuous"),
        (Tally(), "not-run"),
        (Tally(100, 100, 40.0, ADDRESS, 1, finding()), "fail"),
        (Tally(1, 0, 40.0, ADDRESS, 1, finding()), "fail"),
        (Tally(100, 100, math.inf, ADDRESS, 1, finding(math.inf, crashed=True)), "crashed"),
    ],
)
def test_a_cell_passes_where_nothing_failed_and_enough_was_informative(tally: Tally, outcome: Outcome) -> None:
    assert cell(tally).outcome == outcome


def test_each_profile_asks_for_its_own_number_of_informative_cases() -> None:
    tally = Tally(100, F1.informative[0], 0.5, ADDRESS)
    assert [cell(tally, profile).outcome for profile in PROFILES.values()] == ["pass", "vacuous", "vacuous"]


def test_a_run_that_was_stopped_early_passes_nothing() -> None:
    enough, failed = Tally(100, 100, 0.5, ADDRESS), Tally(100, 100, 40.0, ADDRESS, 1, finding())
    assert cell(enough, complete=False).outcome == "vacuous"
    assert cell(failed, complete=False).outcome == "fail"


# Clauses


@pytest.mark.parametrize(
    ("outcomes", "outcome"),
    [
        (("pass", "fail", "crashed"), "fail"),
        (("pass", "crashed", "vacuous"), "crashed"),
        (("pass", "vacuous", "not-run"), "vacuous"),
        (("pass", "not-run"), "not-run"),
        (("pass", "pass"), "pass"),
    ],
)
def test_the_worst_cell_speaks_for_the_clause(outcomes: tuple[Outcome, ...], outcome: Outcome) -> None:
    cells = [Cell("float32", "cpu", each, 10, 9, None, None, None) for each in outcomes]
    report = report_clause(F1, cells, [])
    assert report.outcome == outcome
    assert (report.executed, report.informative) == (10 * len(cells), 9 * len(cells))


def test_a_clause_reports_the_worst_ratio_of_its_cells_and_where_it_was_met() -> None:
    ratios = [(0.5, "a"), (None, None), (0.75, "b")]
    cells = [Cell("float32", "cpu", "pass", 10, 10, ratio, None, case) for ratio, case in ratios]
    report = report_clause(F1, cells, [])
    assert (report.worst_ratio, report.case) == (0.75, "b")


def test_absent_devices_are_shown_and_not_counted() -> None:
    absent = Cell("float32", "cuda", "not-run", 0, 0, None, None, None)
    there = cell(Tally(100, 100, 0.5, ADDRESS))
    report = report_clause(F1, [there], [absent])
    assert report.outcome == "pass"
    assert report.cells == (there, absent)


def test_too_few_informative_cases_are_told() -> None:
    report = report_clause(F1, [cell(Tally(10, 3, 0.5, ADDRESS))], [])
    assert report.outcome == "vacuous"
    assert report.why is not None
    assert "3" in report.why
    assert "10" in report.why


# The verdict


@pytest.mark.parametrize(
    ("outcome", "verdict", "exit_code"),
    [
        ("pass", "conforms", 0),
        ("skip", "conforms", 0),
        ("fail", "does not conform", 1),
        ("crashed", "does not conform", 1),
        ("vacuous", "incomplete", 3),
        ("not-run", "incomplete", 3),
    ],
)
def test_one_must_clause_decides(outcome: Outcome, verdict: Verdict, exit_code: int) -> None:
    report = target_report([clause_report("F1", outcome), clause_report("F2", "pass")])
    assert report.verdict == verdict
    assert Certificate((report,)).exit_code == exit_code
    assert Certificate((report,)).conforms == (exit_code == 0)


def test_a_failure_outweighs_what_is_missing() -> None:
    assert decide_verdict([clause_report("F1", "fail"), clause_report("F2", "vacuous")], Rule()) == "does not conform"


def test_nothing_judged_is_incomplete() -> None:
    assert decide_verdict([], Rule()) == "incomplete"
    assert decide_verdict([clause_report("F1", "skip"), clause_report("F2", "skip")], Rule()) == "incomplete"


def test_a_should_clause_decides_only_where_the_verdict_is_strict(monkeypatch: pytest.MonkeyPatch) -> None:
    should = clause_report("F12", "fail")
    reports = [clause_report("F1", "pass"), should]
    assert decide_verdict(reports, Rule()) == "conforms"
    assert decide_verdict(reports, Rule(strict=True)) == "does not conform"
    monkeypatch.setitem(CLAUSES, "N1", replace(CLAUSES["N1"], fails_as=None))
    graded = clause_report("N1", "fail")
    assert decide_verdict([clause_report("F1", "pass"), graded], Rule(strict=True)) == "conforms"


def test_a_planned_clause_decides_nothing() -> None:
    planned = next(clause.id for clause in CLAUSES.values() if clause.status == "planned" and clause.level == "MUST")
    assert decide_verdict([clause_report("F1", "pass"), clause_report(planned, "not-run")], Rule(True)) == "conforms"


def test_the_worst_verdict_speaks_for_several_targets() -> None:
    right, wrong, unclear = target_report(passing()), failing_report(), incomplete_report()
    assert Certificate((right, right)).exit_code == 0
    assert Certificate((right, unclear)).exit_code == 3
    assert Certificate((unclear, wrong, right)).exit_code == 1


# JSON


def document(*reports: TargetReport) -> Any:
    return json.loads(render_json(Certificate(reports)))


def test_the_schema_is_a_schema_in_which_every_field_is_described() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    objects = [SCHEMA, *(each for each in SCHEMA["$defs"].values() if each.get("type") == "object")]
    objects.append(SCHEMA["$defs"]["target"]["properties"]["scope"])
    for each in objects:
        assert each["additionalProperties"] is False
        assert each["required"] == list(each["properties"])
        assert [name for name, field in each["properties"].items() if not field.get("description")] == []


@pytest.mark.parametrize("make", [lambda: target_report(passing()), failing_report, incomplete_report])
def test_certificates_are_valid_by_the_schema(make: Any) -> None:
    Draft202012Validator(SCHEMA).validate(document(make(), make()))


def test_an_infinite_ratio_is_a_word() -> None:
    written = render_json(Certificate((failing_report(),)))
    assert "Infinity" not in written
    assert next(c for c in json.loads(written)["targets"][0]["clauses"] if c["id"] == "F1")["worst_ratio"] == "inf"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("surprise",), 1),
        (("schema_version",), "0.9"),
        (("verdict",), "perhaps"),
        (("targets",), []),
        (("targets", 0, "dialect_source"), "a guess"),
        (("targets", 0, "scope", "surprise"), 1),
        (("targets", 0, "clauses", 0, "outcome"), "green"),
        (("targets", 0, "clauses", 0, "worst_ratio"), -1),
        (("targets", 0, "clauses", 0, "worst_ratio"), "nan"),
        (("targets", 0, "clauses", 0, "cells", 0, "executed"), None),
    ],
)
def test_the_schema_refuses_what_no_certificate_holds(path: tuple[Any, ...], value: Any) -> None:
    written = document(target_report(passing()))
    place = written
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(ValidationError):
        Draft202012Validator(SCHEMA).validate(written)


@pytest.mark.parametrize("make", [lambda: target_report(passing()), failing_report, incomplete_report])
def test_a_report_travels_as_text(make: Any) -> None:
    report = make()
    assert report_from_json(report_to_json(report)) == report


def test_the_document_holds_the_whole_report() -> None:
    report = failing_report()
    (found,) = document(report)["targets"]
    assert set(found) == set(asdict(report))
    assert [clause["id"] for clause in found["clauses"]] == list(CLAUSES)


# The terminal


def text_of(report: TargetReport) -> str:
    """Without the line breaks that depend on the terminal's width."""
    return " ".join(render(Certificate((report,))).split())


def test_a_failure_tells_the_statement_what_was_got_and_wanted_and_how_to_run_it_again() -> None:
    text = text_of(failing_report())
    assert " ".join(F1.statement.split()) in text
    assert "got 2.5, wanted 0.5 at channel 1, value 0" in text
    again = f"bnspec certify layers.py:Fast --arg unbiased=False --dialect torch --clause F1 --case 'cpu/{ADDRESS}'"
    assert again in text


def test_the_last_line_is_the_verdict_with_what_was_left_out() -> None:
    right = target_report(passing())
    right = replace(right, scope={**right.scope, "without": ["gradients"]})
    last = render(Certificate((right,))).splitlines()[-1]
    assert last == render_verdict(right)
    assert last.startswith("layers.py:Fast CONFORMS to torch, without gradients - ")
    assert "DOES NOT CONFORM to torch: 1 of" in render_verdict(failing_report())
    assert "(F1)" in render_verdict(failing_report())
    assert "INCOMPLETE for torch: too little was judged of F1" in render_verdict(incomplete_report())


def test_what_did_not_run_is_told() -> None:
    text = text_of(target_report(passing()))
    planned = sum(clause.status == "planned" for clause in CLAUSES.values())
    assert f"{planned} clauses are planned" in text
    assert "NOT RUN on cuda" in text


def test_several_targets_end_in_a_table_with_a_line_each() -> None:
    lines = render(Certificate((target_report(passing()), failing_report()))).splitlines()[-2:]
    assert [("conforms" in line, "does not conform" in line) for line in lines] == [(True, False), (False, True)]
    assert lines[1].endswith("F1")
