"""Waivers: what they cover, that they cannot rot, and torch's own missed SHOULDs as the first that need them."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from junitparser import JUnitXml

import bnspec
from bnspec.cases.case import Case
from bnspec.certificate.json_face import read_certificate
from bnspec.cli import main
from bnspec.engine.plan import UsageError
from bnspec.waivers import PREDICATES, Waiver, locate, read_waivers
from tests.report_samples import failing_report, passing, target_report

LAYERS = Path(__file__).parent / "targets/cli_layers.py"
WRONG = f"{LAYERS}:Wrong"
TODAY, LATER = date(2026, 11, 26), date(2999, 12, 31)
CASE = "cpu/initial/float32/2x1/eps=1e-05,momentum=0.3,fresh=True"
QUICK = ("--profile", "smoke", "--dtype", "float32")
ENTRY = f"""
[[waiver]]
clause = "F1"
target = "layers.py:Wrong"
reason = "a known factor"
expires = 2999-12-31
case = "{CASE}"
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    """A file of waivers for the wrong layer: of clauses F1 and E1, which it fails, or of the text given."""

    def write_file(text: str = "") -> Path:
        file = tmp_path / "waivers.toml"
        file.write_text(text.replace("layers.py:Wrong", WRONG), encoding="utf-8")
        return file

    return write_file


def certify(*arguments: str) -> int:
    return main(["certify", *arguments])


# The file


def test_a_file_is_read_in_full(tmp_path: Path) -> None:
    file = tmp_path / "w.toml"
    file.write_text(
        ENTRY + 'link = "https://example.org/1"\nwhere = { dtype = ["float32"], rank = 2, training = true }'
    )
    (waiver,) = read_waivers(file, TODAY)
    assert waiver == Waiver(
        "F1", f"{tmp_path / 'layers.py'}:Wrong", "a known factor", LATER, CASE, "https://example.org/1",
        (("dtype", ("float32",)), ("rank", (2,)), ("training", (True,))), f"waiver 1 of {file}",
    )  # fmt: skip
    assert (waiver.device, waiver.example.shape) == ("cpu", (2, 1))
    assert read_waivers(file, LATER)[0].expired is False
    file.write_text(ENTRY.replace("2999-12-31", "2026-11-25"))
    assert read_waivers(file, TODAY)[0].expired is True


REFUSED = {
    "no file": (None, "cannot be read"),
    "no TOML": ("[[waiver", "is no valid TOML"),
    "something else": ("[waivers]\nx = 1", "holds what is no waiver"),
    "no list": ("[waiver]\nclause = 'F1'", "holds what is no waiver"),
    "unknown key": (ENTRY + "untill = 1", "waiver 1 of {file}: there is no key 'untill'"),
    "no reason": (ENTRY.replace('"a known factor"', '""'), "reason = '' is not a sentence"),
    "reason left out": (ENTRY.replace("reason", "link"), "reason is missing, a sentence"),
    "no date": (ENTRY.replace("2999-12-31", '"2999-12-31"'), "is not a date, such as"),
    "unknown clause": (ENTRY.replace('"F1"', '"F99"'), "there is no clause 'F99'"),
    "no address": (ENTRY.replace("/2x1/", "/"), "is no case address"),
    "unknown predicate": (ENTRY + "where = { dtyp = 'float32' }", "no key of where 'dtyp': did you mean dtype?"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_waiver_is_refused_in_one_line(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "w.toml"
    if text is not None:
        file.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=re.escape(words.replace("{file}", str(file)))):
        read_waivers(file, TODAY)


# What is covered

PLAIN = Case("arguments", "float32", (4, 3, 2), 0.1, 0.3, layout="transposed")
WHERE: dict[str, tuple[dict[str, Any], bool]] = {
    "nothing asked": ({}, True),
    "dtype": ({"dtype": "float32"}, True),
    "another dtype": ({"dtype": ["float16", "float64"]}, False),
    "rank": ({"rank": [3, 4]}, True),
    "another rank": ({"rank": 2}, False),
    "kind of device": ({"device": "cuda"}, True),
    "device": ({"device": "cuda:1"}, True),
    "another device": ({"device": "cuda:0"}, False),
    "layout": ({"layout": "transposed"}, True),
    "another layout": ({"layout": "contiguous"}, False),
    "mode": ({"training": True}, True),
    "another mode": ({"training": False}, False),
    "ability": ({"ability": ["gradients", "evaluation"]}, True),
    "another ability": ({"ability": "second_order"}, False),
    "experiment": ({"experiment": "arguments"}, True),
    "two": ({"dtype": "float32", "rank": 2}, False),
}


@pytest.mark.parametrize(("where", "covered"), WHERE.values(), ids=WHERE)
def test_a_waiver_covers_the_cases_that_have_one_of_the_values_of_each_key(where: Any, covered: bool) -> None:
    pairs = tuple((key, tuple(value) if isinstance(value, list) else (value,)) for key, value in where.items())
    waiver = Waiver("L5", "a:B", "so", LATER, CASE, where=pairs)
    assert waiver.covers("L5", PLAIN, "cuda:1", {"gradients"}) is covered
    assert not waiver.covers("L6", PLAIN, "cuda:1", {"gradients"})
    assert not replace(waiver, expired=True).covers("L5", PLAIN, "cuda:1", {"gradients"})
    assert {key for key, _ in pairs} <= set(PREDICATES)


def test_a_target_is_the_same_by_whatever_path(tmp_path: Path) -> None:
    assert locate("sub/../layers.py:A.B", tmp_path) == f"{tmp_path}/layers.py:A.B"
    assert locate(f"{tmp_path}/layers.py:A.B", Path("/")) == f"{tmp_path}/layers.py:A.B"
    assert locate("torch.nn:BatchNorm1d", tmp_path) == "torch.nn:BatchNorm1d"


# The run

BOTH = ENTRY + ENTRY.replace('"F1"', '"E1"').replace(CASE, "cpu/evaluation/float32/2x1/eps=1e-05,momentum=0.3")


def test_what_is_waived_decides_nothing_and_is_said(
    write: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = (WRONG, *QUICK, "--clause", "F1", "E1", "R2", "--json", str(tmp_path / "c.json"))
    assert certify(*asked) == 1
    assert certify(*asked, "--waivers", str(write(ENTRY))) == 1
    assert "1 of 3 clauses fail (E1)" in capsys.readouterr().out
    assert certify(*asked, "--waivers", str(write(BOTH))) == 0
    out = capsys.readouterr().out
    assert "F1   MUST   WAIVED" in out
    assert "a known factor (until 2999-12-31)" in out
    assert "CONFORMS to torch, in E1, F1, R2 alone, waiving F1 E1 - 3 clauses" in out
    report = read_certificate(tmp_path / "c.json").targets[0]
    assert [(w.clause, w.outcome) for w in report.waivers] == [("F1", "holds"), ("E1", "holds")]
    assert {c.id: c.outcome for c in report.clauses if c.executed} == {"F1": "waived", "E1": "waived", "R2": "pass"}


def test_a_waiver_of_some_cases_leaves_the_others(write: Callable[..., Path], tmp_path: Path) -> None:
    file = write(ENTRY + "where = { rank = 2 }")
    assert certify(WRONG, *QUICK, "--clause", "F1", "--waivers", str(file), "--json", str(tmp_path / "c.json")) == 1
    report = read_certificate(tmp_path / "c.json").targets[0]
    case = report.clause("F1").case
    assert case is not None
    assert re.search(r"/float32/\d+x\d+x\d+/", case), "what is shrunk is not waived either"


@pytest.mark.parametrize("ending", [("-n", "2"), ("--isolate",)], ids=["spread", "isolated"])
def test_a_waiver_holds_in_other_processes_too(write: Callable[..., Path], ending: tuple[str, ...]) -> None:
    assert certify(WRONG, *QUICK, "--clause", "F1", "R2", "--waivers", str(write(ENTRY)), *ending) == 0


def test_a_crash_may_be_waived(write: Callable[..., Path]) -> None:
    text = ENTRY.replace("Wrong", "DiesOnLongBatches").replace("/2x1/", "/70x1/").replace(str(LAYERS), "x")
    file = write(text.replace("layers.py", str(LAYERS)))
    asked = (f"{LAYERS}:DiesOnLongBatches", *QUICK, "--clause", "F1", "--isolate")
    assert certify(*asked) == 1
    assert certify(*asked, "--waivers", str(file)) == 0


ROTTEN = {
    "expired": (ENTRY.replace("2999-12-31", "2020-01-31"), WRONG, "expired: it was to end on 2020-01-31"),
    "not needed": (ENTRY.replace("Wrong", "Right"), f"{LAYERS}:Right", "not needed: its case passes: delete it"),
}


@pytest.mark.parametrize(("text", "target", "words"), ROTTEN.values(), ids=ROTTEN)
def test_a_waiver_that_rots_fails_the_run(
    write: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, target: str, words: str
) -> None:
    file = write(text.replace("layers.py:Right", f"{LAYERS}:Right"))
    faces = ("--junit", str(tmp_path / "j.xml"), "--markdown", str(tmp_path / "m.md"))
    assert certify(target, *QUICK, "--clause", "F1", "--waivers", str(file), *faces) == 2
    out = " ".join(capsys.readouterr().out.split())
    assert f"STALE: waiver 1 of {file} (F1, a known factor) {words}" in out
    (suite,) = JUnitXml.fromfile(str(tmp_path / "j.xml"))
    (failure,) = next(case for case in suite if case.name == f"waiver 1 of {file}").result
    assert failure.text == f"F1, a known factor: {words.partition(': ')[2]}" + ("" if "delete" in words else REST)
    assert "STALE: waiver 1" in (tmp_path / "m.md").read_text()
    certificate = bnspec.certify(target, profile="smoke", dtypes=["float32"], clauses=["F1"], waivers=file)
    assert not certificate.conforms


REST = ": mend the layer, or look at it anew and set another day"


@pytest.mark.parametrize("asked", [("--clause", "R2"), ("--clause", "F1", "--dtype", "float64")], ids=" ".join)
def test_what_is_not_judged_is_not_tried(write: Callable[..., Path], tmp_path: Path, asked: tuple[str, ...]) -> None:
    right = f"{LAYERS}:Right"
    file = write(ENTRY.replace("layers.py:Wrong", right))
    assert certify(right, "--profile", "smoke", *asked, "--waivers", str(file), "--json", str(tmp_path / "c.json")) == 0
    assert [w.outcome for w in read_certificate(tmp_path / "c.json").targets[0].waivers] == ["not tried"]


def test_waivers_of_other_targets_are_left_alone(write: Callable[..., Path], tmp_path: Path) -> None:
    asked = (f"{LAYERS}:Right", *QUICK, "--clause", "F1", "--json", str(tmp_path / "c.json"))
    assert certify(*asked, "--waivers", str(write(ENTRY))) == 0
    assert read_certificate(tmp_path / "c.json").targets[0].waivers == ()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (ENTRY + "where = { dtype = 'float64' }", "its own case is not one of those that `where` waives"),
        (ENTRY.replace("/initial/", "/random_history/"), "a case of 'random_history' says nothing on F1"),
        (ENTRY.replace("/initial/", "/initials/"), "a case of 'initials' says nothing on F1"),
    ],
)
def test_an_example_must_be_one(
    write: Callable[..., Path], capsys: pytest.CaptureFixture[str], text: str, words: str
) -> None:
    assert certify(WRONG, *QUICK, "--clause", "F1", "--waivers", str(write(text))) == 2
    assert words in capsys.readouterr().err


# Writing them


def test_torch_is_green_under_strict_with_the_waivers_that_the_command_writes(tmp_path: Path) -> None:
    certificate, file = tmp_path / "c.json", tmp_path / "waivers.toml"
    asked = ("torch.nn:BatchNorm1d", "--profile", "smoke", "--strict")
    assert certify(*asked, "--json", str(certificate)) == 1
    failed = [c.id for c in read_certificate(certificate).targets[0].clauses if c.outcome == "fail"]
    command = [
        "waive",
        str(certificate),
        "--reason",
        'torch\'s "own"',
        "--link",
        "https://example.org/a",
        "--to",
        str(file),
    ]
    for clause in failed:
        assert main([*command, "--clause", clause]) == 0
    waivers = read_waivers(file, date.today())
    assert [waiver.clause for waiver in waivers] == failed == ["G14", "L8", "B9"]
    assert {(w.target, w.reason, w.link) for w in waivers} == {
        ("torch.nn:BatchNorm1d", 'torch\'s "own"', "https://example.org/a")
    }
    assert certify(*asked, "--waivers", str(file), "--json", str(certificate)) == 0
    assert [w.outcome for w in read_certificate(certificate).targets[0].waivers] == ["holds"] * 3


def test_a_failure_of_some_dtypes_is_waived_there_and_files_are_named_from_the_new_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    report = failing_report()
    (cell,) = report.clause("F1").cells
    cells = (cell, replace(cell, dtype="float64", outcome="pass"))
    clauses = tuple(replace(c, cells=cells) if c.id == "F1" else c for c in report.clauses)
    text = bnspec_json(replace(report, target="sub/layers.py:Fast", clauses=clauses))
    (tmp_path / "c.json").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ci").mkdir()
    command = ["waive", "c.json", "--reason", "so", "--expires", "2999-12-31"]
    assert main([*command, "--to", "ci/w.toml"]) == 0
    capsys.readouterr()
    assert main(command) == 0
    assert 'target = "sub/layers.py:Fast"' in capsys.readouterr().out
    (waiver,) = read_waivers(tmp_path / "ci/w.toml", TODAY)
    assert (waiver.target, waiver.expires) == (f"{tmp_path}/sub/layers.py:Fast", LATER)
    assert waiver.where == (("dtype", ("float32",)),)


def bnspec_json(*reports: Any) -> str:
    from bnspec.certificate.json_face import render_json
    from bnspec.certificate.model import Certificate

    return render_json(Certificate(reports))


def test_what_cannot_be_waived_is_wrong_usage(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    certificate, half, other = (tmp_path / name for name in ("c.json", "half.json", "other.json"))
    certificate.write_text(bnspec_json(target_report(passing())), encoding="utf-8")
    half.write_text(certificate.read_text()[:1000], encoding="utf-8")
    other.write_text(json.dumps({"schema_version": "9.0"}), encoding="utf-8")
    refused = {
        (str(certificate),): "the certificate has no failure to waive",
        (str(certificate), "--clause", "F1", "F2"): "no failure of F1 F2 to waive",
        (str(certificate), "--expires", "soon"): "--expires soon: is no date",
        (str(half),): "is no JSON: name a file that `certify --json` wrote, in full",
        (str(other),): "is of version 9.0 of the schema, and bnspec 0.1.0 reads 1.0, 1.1",
        (str(tmp_path / "none.json"),): "cannot be read",
    }
    for arguments, words in refused.items():
        assert main(["waive", *arguments, "--reason", "so"]) == 2
        assert words in capsys.readouterr().err
