"""The faces for other programs, read by such: JUnit by junitparser, Markdown by markdown-it, badges as JSON and SVG."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest
from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite
from markdown_it import MarkdownIt

from bnspec.certificate.badge import check_badge, render_badge
from bnspec.certificate.junit import render_junit
from bnspec.certificate.markdown import render_markdown
from bnspec.certificate.model import Certificate, TargetReport
from bnspec.cli import main
from bnspec.engine.plan import UsageError
from bnspec.spec.clauses import CLAUSES
from tests.report_samples import ADDRESS, clause_report, failing_report, incomplete_report, passing, target_report

RIGHT = f"{Path(__file__).parent / 'targets/cli_layers.py'}:Right"


def read_suites(*reports: TargetReport) -> list[TestSuite]:
    return list(JUnitXml.fromstring(render_junit(Certificate(reports)).encode()))


def find_case(suite: TestSuite, start: str) -> TestCase:
    return next(case for case in suite if case.name.split()[0] == start)


# JUnit


def test_junit_has_a_suite_a_target_and_a_case_a_clause_and_one_for_the_verdict() -> None:
    right, wrong = read_suites(target_report(passing()), failing_report())
    for suite in (right, wrong):
        assert [case.name.split()[0] for case in suite] == [*CLAUSES, "verdict"]
        assert suite.tests == len(list(suite)) == len(CLAUSES) + 1
        assert suite.skipped == sum(clause.status != "active" for clause in CLAUSES.values())
        assert (suite.name, suite.time, suite.errors) == ("layers.py:Fast", 1.25, 0)
    assert (right.failures, wrong.failures) == (0, 2)
    assert find_case(right, "F1").system_out == "100 cases, 100 informative"


def test_junit_says_what_failed_and_how_to_run_it_again() -> None:
    (suite,) = read_suites(failing_report())
    (failure,) = find_case(suite, "F1").result
    assert isinstance(failure, Failure)
    assert failure.message == "y: got 2.5, wanted 0.5 at channel 1, value 0"
    assert "MUST F1 FAILS" in failure.text
    assert "again: bnspec certify layers.py:Fast" in failure.text
    (verdict,) = find_case(suite, "verdict").result
    assert verdict.message == "does not conform"
    assert "DOES NOT CONFORM to torch: 1 of" in verdict.text


@pytest.mark.parametrize(("strict", "kind"), [(False, Skipped), (True, Failure)])
def test_what_decides_nothing_is_skipped_and_fails_where_it_is_strict(strict: bool, kind: type) -> None:
    missed = clause_report("F12", "fail", why="y: got 1.0, wanted 2.0", case=f"cpu/{ADDRESS}")
    (suite,) = read_suites(target_report([missed], strict=strict))
    (result,) = find_case(suite, "F12").result
    assert isinstance(result, kind)


def test_too_little_is_a_skipped_case_and_a_failed_verdict() -> None:
    (suite,) = read_suites(incomplete_report())
    (skipped,) = find_case(suite, "F1").result
    assert skipped.message.startswith("vacuous: only 3 informative cases of 10")
    assert suite.failures == 1


def test_whatever_a_layer_says_is_xml() -> None:
    odd = clause_report("F1", "crashed", why="the forward: raised Odd: \x1b[31m\x00\ud800 <&]]>", case=None)
    (suite,) = read_suites(target_report([odd]))
    (failure,) = find_case(suite, "F1").result
    assert failure.message == "the forward: raised Odd: ?[31m?? <&]]>"


# Markdown


def render(*reports: TargetReport) -> str:
    return str(MarkdownIt("commonmark").enable("table").render(render_markdown(Certificate(reports))))


def test_markdown_shows_the_verdict_the_failures_in_full_and_a_row_a_clause() -> None:
    html = render(failing_report(), target_report(passing()))
    assert html.count("<h3><code>layers.py:Fast</code> does not conform</h3>") == 1
    assert html.count("<h3><code>layers.py:Fast</code> conforms</h3>") == 1
    assert html.count("MUST F1 FAILS") == 1
    assert "again: bnspec certify layers.py:Fast" in html
    judged = [clause for clause in CLAUSES.values() if clause.status != "planned"]
    assert html.count("<tr>") == 2 * (len(judged) + 1)
    assert html.count("<details>") == html.count("</details>") == 2


def test_what_looks_like_markdown_is_shown_as_it_is() -> None:
    odd = clause_report("F1", "vacuous", why="a|b <b>_c_</b> `d` [e](f)")
    html = render(replace(target_report([odd]), notes=("it is *another*",)))
    assert "<td>a|b &lt;b&gt;_c_&lt;/b&gt; `d` [e](f)</td>" in html
    assert "it is *another*" in html


def test_markdown_says_what_was_understood_and_left_out() -> None:
    report = target_report(passing())
    assert "Understood" not in render(report)
    told = replace(report, scope={**report.scope, "understood": "without other ranks: rank 3 raised ValueError: a|b"})
    assert "<p>Understood as without other ranks: rank 3 raised ValueError: a|b.</p>" in render(told)


def test_a_failure_cannot_leave_its_block() -> None:
    odd = clause_report("F1", "crashed", why="```\n# out", case=None)
    assert "<h1>" not in render(target_report([odd]))


# Badges


@pytest.mark.parametrize(
    ("report", "message", "colour"),
    [
        (target_report(passing()), "conforms to torch", "brightgreen"),
        (failing_report(), "does not conform", "red"),
        (incomplete_report(), "incomplete", "yellow"),
    ],
)
def test_a_badge_says_the_verdict(report: TargetReport, message: str, colour: str) -> None:
    endpoint = json.loads(render_badge(Certificate((report,)), "badge.json"))
    assert endpoint == {"schemaVersion": 1, "label": "batch norm", "message": message, "color": colour}
    svg = ET.fromstring(render_badge(Certificate((report,)), "badge.svg"))
    texts = [each for each in svg.iter() if each.tag.endswith("text")]
    assert [text.text for text in texts] == ["batch norm", message]
    ends = [int(text.get("x", "")) + int(text.get("textLength", "")) for text in texts]
    assert ends == [int(texts[1].get("x", "")) - 12, int(svg.get("width", "")) - 6]


def test_a_badge_of_several_dialects_names_them() -> None:
    reports = (target_report(passing()), target_report(passing(), dialect="keras"))
    assert json.loads(render_badge(Certificate(reports), "b.json"))["message"] == "conforms to keras and torch"


def test_a_badge_is_one_of_two_kinds() -> None:
    check_badge(None)
    with pytest.raises(UsageError, match=r"--badge b\.png: name a file that ends in \.json"):
        check_badge("b.png")


# The command


def test_the_command_writes_every_face_and_refuses_what_it_cannot_write(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = {name: tmp_path / f"out.{end}" for name, end in FACES.items()}
    asked = [each for name, file in files.items() for each in (f"--{name}", str(file))]
    command = ["certify", RIGHT, "--profile", "smoke", "--dtype", "float32", "--clause", "F1"]
    assert main([*command, *asked]) == 0
    assert json.loads(files["json"].read_text())["verdict"] == "conforms"
    assert JUnitXml.fromfile(str(files["junit"])).failures == 0
    assert files["markdown"].read_text().startswith(f"### `{RIGHT}` conforms\n")
    assert "conforms to torch" in files["badge"].read_text()
    assert sorted(tmp_path.iterdir()) == sorted(files.values())
    capsys.readouterr()
    for name in FACES:
        assert main([*command, f"--{name}", str(tmp_path / "none/out.svg")]) == 2
        assert f"bnspec: --{name} " in capsys.readouterr().err


FACES = {"json": "json", "markdown": "md", "junit": "xml", "badge": "svg"}
