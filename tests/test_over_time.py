"""Certificates over time: compared, verified and replayed, those of an earlier version of the schema too."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bnspec.certificate.comparing import compare
from bnspec.certificate.json_face import read_certificate, render_json
from bnspec.certificate.model import Certificate, ClauseReport, TargetReport
from bnspec.cli import main
from bnspec.verifying import check_consistency
from tests.report_samples import clause_report, failing_report, incomplete_report, passing, target_report

HERE = Path(__file__).parent
OLD_SCHEMA = HERE / "certificates/schema-1.0.json"
LAYERS = HERE / "targets/cli_layers.py"
QUICK = ("--profile", "smoke", "--dtype", "float32", "--clause", "F1", "R2", "E1")
Output = pytest.CaptureFixture[str]

RIGHT = target_report(passing())


def with_clause(report: TargetReport, clause: ClauseReport) -> TargetReport:
    return replace(report, clauses=tuple(clause if each.id == clause.id else each for each in report.clauses))


def measured(clause: str, **measures: float) -> ClauseReport:
    (cell,) = RIGHT.clause("F1").cells
    return clause_report(clause, "measured", cells=(replace(cell, outcome="measured", measures=measures),))


GRADED = with_clause(RIGHT, measured("N7", y=3.5, dx=float("inf")))
CHANGES: dict[str, tuple[TargetReport, TargetReport | None, str, bool]] = {
    "a worse verdict": (RIGHT, failing_report(), "conforms -> does not conform", True),
    "a better verdict": (failing_report(), RIGHT, "does not conform -> conforms", False),
    "too little": (RIGHT, incomplete_report(), "conforms -> incomplete", True),
    "enough at last": (incomplete_report(), RIGHT, "incomplete -> conforms", False),
    "a target that is gone": (RIGHT, None, "is judged no more", True),
    "a clause that fails": (RIGHT, failing_report(), "F1 pass -> fail: y: got 2.5, wanted 0.5 at", True),
    "a missed SHOULD": (RIGHT, with_clause(RIGHT, clause_report("F12", "fail")), "F12 pass -> fail", True),
    "a clause left out": (RIGHT, with_clause(RIGHT, clause_report("F2", "skip")), "F2 pass -> skip", True),
    "a failure waived": (RIGHT, with_clause(RIGHT, clause_report("F2", "waived")), "F2 pass -> waived", False),
    "a waiver gone": (with_clause(RIGHT, clause_report("F2", "waived")), RIGHT, "F2 waived -> pass", False),
    "a clause that is new": (replace(RIGHT, clauses=RIGHT.clauses[1:]), RIGHT, "F1 is new: pass", False),
    "a clause that is gone": (RIGHT, replace(RIGHT, clauses=RIGHT.clauses[1:]), "F1 is judged no more", True),
    "a bit lost": (GRADED, with_clause(RIGHT, measured("N7", y=2.5)), "N7 y in float32 on cpu: 3.5 -> 2.5", True),
    "all bits lost": (GRADED, with_clause(RIGHT, measured("N7", dx=1.0)), "N7 dx in float32 on cpu: inf -> 1.0", True),
    "a longer run": (RIGHT, replace(RIGHT, duration_s=2.6), "took 2.6 s instead of 1.2 s", True),
    "another seed": (GRADED, replace(RIGHT, seed=1), "seed 0 -> 1: what was measured is not compared", False),
}


@pytest.mark.parametrize(("old", "new", "words", "regression"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_told_and_is_a_regression_or_not(
    old: TargetReport, new: TargetReport | None, words: str, regression: bool
) -> None:
    changes = compare(Certificate((old,)), Certificate(() if new is None else (new,)), slower=2.0)
    (found,) = [change for change in changes if change.words.startswith(words)]
    assert found.regression is regression
    assert compare(Certificate((old,)), Certificate((old,)), slower=2.0) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (GRADED, with_clause(RIGHT, measured("N7", y=2.6, dx=float("inf")))),
        (RIGHT, replace(RIGHT, duration_s=2.4)),
        (GRADED, with_clause(RIGHT, measured("N7", y=9.0))),
    ],
    ids=["less than a bit", "not twice as long", "bits won"],
)
def test_what_is_no_change_is_not_told(old: TargetReport, new: TargetReport) -> None:
    assert compare(Certificate((old,)), Certificate((new,)), slower=2.0) == []


def test_targets_of_one_name_are_compared_in_their_order() -> None:
    old, new = Certificate((RIGHT, failing_report())), Certificate((RIGHT, RIGHT, incomplete_report()))
    told = {(change.words, change.regression) for change in compare(old, new)}
    assert ("does not conform -> conforms", False) in told
    assert ("is new", False) in told
    assert not any(regression for _, regression in told)


@pytest.fixture
def certify(tmp_path: Path) -> Callable[..., Path]:
    """Certificates of real runs, by the name of the layer."""

    def write(layer: str, *more: str) -> Path:
        file = tmp_path / f"{layer}.json"
        main(["certify", f"{LAYERS}:{layer}", *QUICK, "--json", str(file), *more])
        return file

    return write


def test_the_command_ends_with_1_on_a_regression(certify: Callable[..., Path], tmp_path: Path, capsys: Output) -> None:
    right = certify("Right")
    wrong = tmp_path / "wrong.json"
    wrong.write_text(certify("Wrong").read_text().replace(":Wrong", ":Right"), encoding="utf-8")
    capsys.readouterr()
    assert main(["compare", str(right), str(wrong)]) == 1
    out = capsys.readouterr().out
    assert "REGRESSION" in out.splitlines()[0]
    assert "Right  conforms -> does not conform" in out
    assert "Right  F1 pass -> fail: " in out
    assert out.splitlines()[-1] == "3 regressions, 0 other changes, 1 targets compared"
    assert main(["compare", str(wrong), str(right)]) == 0
    assert main(["compare", str(right), str(tmp_path / "none.json")]) == 2


# Verifying


def test_a_certificate_that_holds_is_verified(certify: Callable[..., Path], capsys: Output) -> None:
    for layer in ("Right", "Wrong"):
        file = certify(layer)
        capsys.readouterr()
        assert main(["verify", str(file)]) == 0
        assert capsys.readouterr().out == "holds: 3 cases run again, 0 doubts\n"
    assert main(["verify", str(file), "--sample", "1"]) == 0
    assert capsys.readouterr().out == "holds: 1 cases run again, 0 doubts\n"


def tamper(file: Path, change: Callable[[Any], None]) -> Path:
    document = json.loads(file.read_text(encoding="utf-8"))
    change(document["targets"][0])
    file.write_text(json.dumps(document), encoding="utf-8")
    return file


def clause_of(target: Any, name: str) -> Any:
    return next(clause for clause in target["clauses"] if clause["id"] == name)


TAMPERED: dict[str, tuple[Callable[[Any], None], str]] = {
    "verdict": (lambda t: t.update(verdict="conforms"), "its verdict is 'conforms', and by its clauses 'does not"),
    "outcome": (
        lambda t: clause_of(t, "F1").update(outcome="pass"),
        "F1 is said to be 'pass', and by its cells 'fail'",
    ),
    "count": (lambda t: clause_of(t, "R2").update(executed=9999), "R2 counts 9999 cases"),
    "ratio": (
        lambda t: clause_of(t, "F1")["cells"][0].update(worst_ratio=0.5),
        "F1 in float32 is said to be off by 0.5 bounds at cpu/",
    ),
    "case": (lambda t: clause_of(t, "R2")["cells"][0].update(case="nonsense"), "R2 in float32 is said to be off by"),
    "clause": (lambda t: clause_of(t, "R2").update(id="R99"), "its clauses are not those of a specification: R99"),
    "target": (lambda t: t.update(target=f"{LAYERS}:Right"), "E1 in float32 is said to be off by 5.59e+04 bounds"),
}


@pytest.mark.parametrize(("change", "words"), TAMPERED.values(), ids=TAMPERED)
def test_a_certificate_that_was_tampered_with_does_not_hold(
    certify: Callable[..., Path], capsys: Output, change: Callable[[Any], None], words: str
) -> None:
    file = tamper(certify("Wrong"), change)
    capsys.readouterr()
    assert main(["verify", str(file)]) == 1
    out = capsys.readouterr().out
    assert words in out
    assert out.splitlines()[-1].startswith("does not hold: ")


def test_elsewhere_only_the_side_of_the_bound_counts(certify: Callable[..., Path], capsys: Output) -> None:
    def move(target: Any) -> None:
        target["environment"]["torch"] = "1.0"
        for clause in target["clauses"]:
            for cell in clause["cells"][:1]:
                cell["worst_ratio"] *= 1.01

    assert main(["verify", str(tamper(certify("Right"), move))]) == 0
    assert "it was made elsewhere, or with other versions" in capsys.readouterr().err


def test_what_a_run_reports_is_consistent_whatever_came_of_it() -> None:
    for report in (RIGHT, failing_report(), incomplete_report(), replace(incomplete_report(), interrupted=True)):
        assert list(check_consistency(report)) == []


# An earlier schema


def test_certificates_of_schema_1_0_are_read_compared_verified_and_waived(tmp_path: Path, capsys: Output) -> None:
    assert json.loads(OLD_SCHEMA.read_text(encoding="utf-8"))["schema_version"] == "1.0"
    new = tmp_path / "new.json"
    asked = ["--profile", "smoke", "--dtype", "float32", "--clause", "F1", "R2", "G14", "N5"]
    assert main(["certify", "torch.nn:BatchNorm1d", *asked, "--json", str(new)]) == 0
    assert main(["compare", str(OLD_SCHEMA), str(new)]) == 0
    assert main(["verify", str(OLD_SCHEMA)]) == 0
    assert main(["replay", str(OLD_SCHEMA), "G14"]) == 1
    assert main(["waive", str(OLD_SCHEMA), "--reason", "so"]) == 0
    assert 'clause = "G14"' in capsys.readouterr().out
    again = json.loads(render_json(read_certificate(OLD_SCHEMA)))
    assert again["schema_version"] == "1.1"
    assert again["targets"][0]["waivers"] == []


# Replaying


def test_failures_are_replayed_by_their_cases(certify: Callable[..., Path], capsys: Output) -> None:
    file = certify("Wrong")
    capsys.readouterr()
    assert main(["replay", str(file)]) == 1
    out = capsys.readouterr().out
    assert f"{LAYERS}:Wrong F1 cpu/" in out
    assert "F1   FAIL" in out
    assert "E1   FAIL" in out
    assert "R2" not in out
    assert main(["replay", str(file), "f1"]) == 1
    assert "E1" not in capsys.readouterr().out
    assert main(["replay", str(file), "R2"]) == 2
    assert "has no failure of R2" in capsys.readouterr().err


def test_what_is_mended_replays_green(certify: Callable[..., Path], capsys: Output) -> None:
    file = tamper(certify("Wrong"), lambda target: target.update(target=f"{LAYERS}:Right"))
    assert main(["replay", str(file)]) == 0
    assert main(["replay", str(certify("Right"))]) == 0
    assert "has no failure" in capsys.readouterr().err
