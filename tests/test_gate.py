"""A project's own pytest: one ini line, or a decorator on a test of its own; and nothing where nobody asks."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest

import bnspec
from bnspec import plugin
from bnspec.engine.plan import UsageError
from bnspec.spec.clauses import CLAUSES

ROOT = Path(__file__).parents[1]
LAYERS = ROOT / "tests/targets/cli_layers.py"
PROJECT = """
[tool.bnspec]
targets = ["layers.py:Right", { target = "layers.py:Wrong", without = ["gradients"] }]
profile = "smoke"
dtype = ["float32"]
clause = ["F1", "E2"]

[tool.pytest.ini_options]
bnspec = true
testpaths = ["."]
"""
GATE = [f"bnspec::layers.py:{layer}-{item}" for layer in ("Right", "Wrong") for item in ("F1", "E2", "verdict")]
FAILING = {"bnspec::layers.py:Wrong-F1", "bnspec::layers.py:Wrong-verdict"}


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Runs pytest in a process of its own, in a project with a test of its own and two layers."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(pytester.path)]))
    monkeypatch.setenv("TMPDIR", str(pytester.mkdir("tmp")))
    shutil.copy(LAYERS, pytester.path / "layers.py")
    (pytester.path / "pyproject.toml").write_text(PROJECT, encoding="utf-8")
    pytester.makepyfile(test_own="def test_own():\n    pass\n")

    def run_pytest(*arguments: str) -> pytest.RunResult:
        return pytester.runpytest_subprocess("-p", "bnspec.plugin", "-p", "xdist.plugin", "-rA", *arguments)

    return run_pytest


def told(result: pytest.RunResult) -> dict[str, str]:
    """The outcome of each item, by its id."""
    lines = [line.split() for line in result.stdout.lines]
    return {line[1]: line[0] for line in lines if line and line[0] in ("PASSED", "FAILED", "SKIPPED", "XFAIL")}


# The ini line


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "spread"])
def test_one_ini_line_adds_an_item_a_clause_to_plain_pytest(
    pytester: pytest.Pytester, run: Any, workers: tuple[str, ...]
) -> None:
    result = run(*workers, "--bn-json", "certificate.json")
    assert result.ret == 1
    outcomes = told(result)
    assert outcomes == {"test_own.py::test_own": "PASSED"} | {
        item: "FAILED" if item in FAILING else "PASSED" for item in GATE
    }
    result.stdout.fnmatch_lines(["*MUST F1 FAILS: *", "*again: bnspec certify layers.py:Wrong *--clause F1 --case *"])
    result.stdout.fnmatch_lines(["layers.py:Right CONFORMS to torch*", "layers.py:Wrong DOES NOT CONFORM to torch*"])
    document = json.loads((pytester.path / "certificate.json").read_text(encoding="utf-8"))
    assert sorted(target["verdict"] for target in document["targets"]) == ["conforms", "does not conform"]
    assert list((pytester.path / "tmp").glob("bnspec-*")) == []


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "spread"])
def test_who_names_a_path_gets_what_lies_there(run: Any, workers: tuple[str, ...]) -> None:
    result = run("test_own.py", *workers)
    assert result.ret == 0
    assert told(result) == {"test_own.py::test_own": "PASSED"}


def test_options_choose_among_the_items_of_the_gate(run: Any) -> None:
    result = run("-k", "Right and F1")
    assert told(result) == {"bnspec::layers.py:Right-F1": "PASSED"}


def test_settings_that_cannot_be_followed_are_wrong_usage(pytester: pytest.Pytester, run: Any) -> None:
    (pytester.path / "pyproject.toml").write_text(PROJECT.replace("smoke", "smok"), encoding="utf-8")
    result = run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*pyproject.toml: target 'layers.py:Right': *did you mean smoke?"])


def test_without_the_line_nothing_is_added(pytester: pytest.Pytester, run: Any) -> None:
    (pytester.path / "pyproject.toml").write_text(PROJECT.replace("bnspec = true", ""), encoding="utf-8")
    assert told(run()) == {"test_own.py::test_own": "PASSED"}


# The decorator


DECORATED = """
import bnspec
from layers import Right, Wrong

QUICK = dict(profile="smoke", dtypes=["float32"])

def make():
    class Right(Wrong):
        pass
    return Right

@bnspec.parametrize_with_checks(Right, **QUICK, clauses=["F1", "E2", "G14"])
def test_right(check):
    check()

@bnspec.parametrize_with_checks(make(), **QUICK, clauses=["F1", "E2"])
def test_wrong(check):
    check()

@bnspec.parametrize_with_checks(make(), **QUICK, clauses=["F1", "E2"], target="layers:Right")
def test_of_the_same_name(check):
    check()

@bnspec.parametrize_with_checks("layers.py:RaisesWhenMade", **QUICK, clauses=["F1"])
def test_cannot_be_made(check):
    check()
"""


@pytest.mark.parametrize("workers", [(), ("-n", "2")], ids=["alone", "spread"])
def test_a_decorated_test_runs_once_a_clause(pytester: pytest.Pytester, run: Any, workers: tuple[str, ...]) -> None:
    file = pytester.makepyfile(test_bn=DECORATED)
    result = run(file.name, *workers)
    outcomes = {item.removeprefix("test_bn.py::test_"): outcome for item, outcome in told(result).items()}
    wrong = {"F1": "FAILED", "E2": "PASSED", "verdict": "FAILED"}
    wanted = {"right": {"F1": "PASSED", "E2": "PASSED", "G14": "XFAIL", "verdict": "PASSED"}, "wrong": wrong}
    wanted |= {"of_the_same_name": wrong, "cannot_be_made": {"F1": "FAILED", "verdict": "FAILED"}}
    assert outcomes == {f"{test}[{item}]": how for test, items in wanted.items() for item, how in items.items()}
    result.stdout.fnmatch_lines(["*MUST F1 FAILS: *", "*y: got *, wanted *"])
    result.stdout.fnmatch_lines(["bnspec: RaisesWhenMade(*) cannot be called: it raised RuntimeError: no kernel; *"])
    for words in ("*Traceback*", "*During handling*"):
        result.stdout.no_fnmatch_line(words)
    assert list((pytester.path / "tmp").glob("bnspec-*")) == []


def test_a_decorated_test_has_every_clause_by_its_id() -> None:
    mark = bnspec.parametrize_with_checks("torch.nn:BatchNorm1d").mark  # type: ignore[attr-defined]  # it is a mark
    assert [check.id for check in mark.args[1]] == [*CLAUSES, "verdict"]
    assert repr(mark.args[1][0].values[0]) == "<F1 of torch.nn:BatchNorm1d>"


def test_the_decorator_refuses_what_is_in_no_table_and_says_where_the_plugin_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(UsageError, match="did you mean smoke"):
        bnspec.parametrize_with_checks("torch.nn:BatchNorm1d", profile="smok")
    monkeypatch.setattr(plugin, "BLOCKS", [])
    with pytest.raises(UsageError, match="the plugin of bnspec is not loaded"):
        bnspec.parametrize_with_checks("torch.nn:BatchNorm1d")


def test_nothing_is_left_behind_by_this_very_session() -> None:
    assert all(folder.parent == Path(tempfile.gettempdir()) for folder in plugin.BLOCKS)
    assert all(folder.name.startswith("bnspec-") for folder in plugin.BLOCKS)
