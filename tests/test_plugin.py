"""The pytest plugin: inert without a target; with one, an item a clause and a verdict, alone or spread over workers."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from bnspec.spec.clauses import CLAUSES

ROOT = Path(__file__).parents[1]
SUITE = str(ROOT / "conformance")
LAYERS = str(ROOT / "tests/targets/cli_layers.py")
RIGHT, WRONG = f"{LAYERS}:Right", f"{LAYERS}:Wrong"
QUICK = ("--bn-profile", "smoke", "--bn-dtype", "float32", "--bn-device", "cpu")
FEW = ("--bn-clause", "F1", "--bn-clause", "E2", "--bn-clause", "R2")
PLANNED = [clause.id for clause in CLAUSES.values() if clause.status == "planned"]


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs pytest in a process of its own, with this plugin and pytest-xdist and no other that is installed."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(pytester.path)]))

    def run_pytest(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "bnspec.plugin", "-p", "xdist.plugin", *arguments)

    return run_pytest


def outcomes(result: pytest.RunResult) -> dict[str, int]:
    kinds = ("passed", "failed", "xfailed", "skipped", "errors")
    return {kind: n for kind, n in result.parseoutcomes().items() if kind in kinds}


# Without a target


def test_without_a_target_nothing_is_imported_and_nothing_changes(pytester: pytest.Pytester, run: Any) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_users_own():
            heavy = {"numpy", "hypothesis", "torch", "bnspec.plugin_desk", "bnspec.engine"}
            assert heavy & set(sys.modules) == set()

        def test_no_fixture_is_added(pytestconfig):
            assert not pytestconfig.pluginmanager.has_plugin("bnspec-desk")
        """
    )
    result = run()
    assert result.ret == 0
    assert outcomes(result) == {"passed": 2}
    result.stdout.no_fnmatch_line("*bnspec*")


def test_every_option_is_named_bn(run: Any) -> None:
    result = run("--help")
    lines = result.stdout.lines
    began = next(n for n, line in enumerate(lines) if line.startswith("certify a batch normalization"))
    group = lines[began + 1 : lines.index("", began + 1)]
    options = [line.split()[0].partition("=")[0] for line in group if line.startswith("  --")]
    assert len(options) >= 10
    assert [option for option in options if option != "--bn" and not option.startswith("--bn-")] == []


def test_the_suite_without_a_target_is_wrong_usage(run: Any) -> None:
    result = run(SUITE)
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*add --bn TARGET*"])


# With targets


def test_items_are_named_by_target_and_clause(run: Any) -> None:
    result = run(SUITE, "--bn", RIGHT, "--collect-only", "-q", *QUICK)
    names = [line.partition("[")[2].removesuffix("]") for line in result.stdout.lines if "test_conformance.py" in line]
    assert names == [f"{RIGHT}-{clause}" for clause in CLAUSES] + [f"{RIGHT}-verdict"]
    result.stdout.no_fnmatch_line("*test_speed*")


def test_a_right_layer_passes_and_planned_clauses_are_skipped_with_the_reason(run: Any) -> None:
    result = run(SUITE, "--bn", RIGHT, *QUICK, "-rs")
    assert result.ret == 0
    counts = outcomes(result)
    # torch misses three SHOULDs; the verdict is one item more.
    assert (counts["xfailed"], counts.get("failed", 0), sum(counts.values())) == (3, 0, len(CLAUSES) + 1)
    assert sum("planned: not yet checked" in line for line in result.stdout.lines) == len(PLANNED)
    result.stdout.fnmatch_lines([f"{RIGHT} CONFORMS to torch; misses G14 L8 B9, which decide nothing - *"])


def test_what_misses_a_should_fails_where_the_verdict_is_strict(run: Any) -> None:
    asked = ("--bn", RIGHT, *QUICK, "--bn-clause", "G14", "--bn-clause", "E1")
    lenient, strict = run(SUITE, *asked), run(SUITE, *asked, "--bn-strict")
    assert (lenient.ret, strict.ret) == (0, 1)
    assert outcomes(lenient) == {"passed": 2, "xfailed": 1}
    assert outcomes(strict) == {"passed": 1, "failed": 2}


def test_the_suite_is_found_by_its_installed_name(run: Any) -> None:
    result = run("--pyargs", "bnspec.conformance", "--bn", RIGHT, *QUICK, *FEW)
    assert result.ret == 0
    assert outcomes(result) == {"passed": 4}


def test_a_wrong_layer_fails_with_the_message_and_fails_the_verdict(run: Any) -> None:
    result = run(SUITE, "--bn", WRONG, *QUICK, *FEW)
    assert result.ret == 1
    assert outcomes(result) == {"passed": 2, "failed": 2}
    result.stdout.fnmatch_lines(
        ["*MUST F1 FAILS: *", "*y: got *, wanted *", f"*again: bnspec certify {WRONG} --clause F1 --case 'cpu/*'"]
    )
    result.stdout.fnmatch_lines([f"{WRONG} DOES NOT CONFORM to torch, in E2, F1, R2 alone: 1 of 3 clauses fail (F1)*"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_layer_that_ends_its_process_fails_its_clauses_where_it_is_isolated(run: Any) -> None:
    result = run(SUITE, "--bn", f"{LAYERS}:DiesOnLongBatches", *QUICK, *FEW, "--bn-isolate")
    assert result.ret == 1
    counts = outcomes(result)
    assert (sum(counts.values()), counts["failed"]) == (4, 4)
    result.stdout.fnmatch_lines(["*MUST F1 FAILS: *", "*the case: got a subject that died by SIGKILL*"])


def test_an_incomplete_verdict_fails(pytester: pytest.Pytester, run: Any) -> None:
    pytester.makepyfile(
        demanding="""
        from dataclasses import replace
        from bnspec.spec.clauses import CLAUSES
        CLAUSES["R3"] = replace(CLAUSES["R3"], informative=(10**6,) * 3)
        """
    )
    result = run("-p", "demanding", SUITE, "--bn", RIGHT, *QUICK, "--bn-clause", "R3")
    assert result.ret == 1
    assert outcomes(result) == {"skipped": 1, "failed": 1}
    result.stdout.fnmatch_lines(["*INCOMPLETE for torch*too little was judged of R3*"])


def test_what_is_left_out_is_skipped_with_the_reason(run: Any) -> None:
    result = run(SUITE, "--bn", RIGHT, *QUICK, "--bn-without", "gradients", "-k", "G2 or verdict", "-rs")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*G2: skip, left out: without gradients*"])
    result.stdout.fnmatch_lines(["*CONFORMS to torch, without gradients*"])


def test_one_clause_is_chosen_by_its_name(run: Any) -> None:
    result = run(SUITE, "--bn", RIGHT, *QUICK, "-k", "G1 and not G10 and not G11 and not G12 and not G13 and not G14")
    assert result.ret == 0
    assert outcomes(result)["passed"] == 1


def test_workers_come_to_the_same_certificate(pytester: pytest.Pytester, run: Any) -> None:
    documents = []
    for name, workers in (("one.json", ()), ("two.json", ("-n", "2"))):
        result = run(SUITE, "--bn", RIGHT, "--bn", WRONG, *QUICK, *FEW, "--bn-json", name, *workers)
        assert outcomes(result) == {"passed": 6, "failed": 2}
        document = json.loads((pytester.path / name).read_text(encoding="utf-8"))
        for target in document["targets"]:
            del target["duration_s"]
        document["targets"].sort(key=lambda target: str(target["target"]))
        documents.append(document)
    assert documents[0] == documents[1]
    assert documents[0]["verdict"] == "does not conform"
    assert [target["verdict"] for target in documents[0]["targets"]] == ["conforms", "does not conform"]


def test_users_own_items_run_beside_a_target(pytester: pytest.Pytester, run: Any) -> None:
    own = pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("n", [1, 2])
        def test_own(n):
            assert n
        """
    )
    result = run(str(own), "--bn", RIGHT, *QUICK)
    assert outcomes(result) == {"passed": 2}


# Benchmarks


def test_benchmarks_time_a_target_beside_torch(run: Any) -> None:
    options = ("--bn-device", "cpu", "--benchmark-disable", "-v")
    result = run("-p", "pytest_benchmark.plugin", f"{SUITE}/benchmarks", "--bn", RIGHT, *options)
    assert result.ret == 0
    assert outcomes(result) == {"passed": 18}
    for call in ("training", "forward and backward", "evaluation"):
        for name in (RIGHT, "torch.nn:BatchNorm1d"):
            result.stdout.fnmatch_lines_random([f"*test_speed[[]{name}-{call}, *, cpu[]]*"])


def test_benchmarks_without_a_target_are_wrong_usage(run: Any) -> None:
    result = run("-p", "pytest_benchmark.plugin", f"{SUITE}/benchmarks")
    assert result.ret != 0
    result.stdout.fnmatch_lines(["*add --bn TARGET*"])


# Wrong usage


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--bn", "torch.nn:BatchNorm1"), "did you mean BatchNorm1d"),
        (("--bn", "no_such_module:X"), "no_such_module"),
        (("--bn", RIGHT, "--bn-clause", "F99"), "F99"),
        (("--bn", RIGHT, "--bn-profile", "smoky"), "did you mean smoke"),
        (("--bn", RIGHT, "--bn-dialect", "torhc"), "did you mean torch"),
        (("--bn", RIGHT, "--bn-device", "tpu"), "tpu"),
        (("--bn", RIGHT, "--bn-dtype", "int8"), "int8"),
        (("--bn", RIGHT, "--bn-without", "gradient"), "did you mean gradients"),
        (("--bn", RIGHT, "--bn-arg", "eps=tiny"), "literal"),
        (("--bn", RIGHT, "--bn-json", "no/such/folder/c.json"), "no/such/folder/c.json"),
    ],
)
def test_wrong_usage_is_told_in_one_line(arguments: tuple[str, ...], told: str, run: Any) -> None:
    result = run(SUITE, *arguments)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    lines = [line for line in result.stderr.lines if line]
    assert len(lines) == 1
    assert told in lines[0]
