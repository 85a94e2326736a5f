"""`examples/gated_project`, gated by the command, by pytest, by a decorator, by the action, by a hook and on GitLab.

Each gate is red for the batch norm that is wrong, with what is wrong with it, and green once that is mended.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[1]
PROJECT = ROOT / "examples/gated_project"
FAULT, MENDED = "correction=0", "correction=1"
DIAGNOSIS = "it looks as if the biased variance were stored"
VERDICTS = {
    "red": ("norms.py:FoldedBatchNorm CONFORMS to torch", "norms.py:LeanBatchNorm DOES NOT CONFORM to torch"),
    "green": ("norms.py:FoldedBatchNorm CONFORMS to torch", "norms.py:LeanBatchNorm CONFORMS to torch"),
}
Shell = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(params=["red", "green"])
def colour(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def shell(tmp_path: Path, colour: str) -> Shell:
    """Runs a script in a copy of the project, as a job does: by bash, ended by the first command that fails."""
    folder = tmp_path / "project"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("__pycache__", ".*", "bnspec.*"))
    text = (folder / "norms.py").read_text(encoding="utf-8")
    assert text.count(FAULT) == 1
    if colour == "green":
        (folder / "norms.py").write_text(text.replace(FAULT, MENDED), encoding="utf-8")
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {
        **outside,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md"),
    }

    def run(script: str, **variables: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        given = {**environment, **variables}
        return subprocess.run(command, cwd=folder, env=given, capture_output=True, text=True, check=False)

    return run


def check(done: subprocess.CompletedProcess[str], colour: str, *verdicts: str) -> None:
    """The exit code, the verdicts, and the diagnosis of the wrong one and of no other."""
    out = done.stdout + done.stderr
    assert done.returncode == {"red": 1, "green": 0}[colour], out
    for verdict in verdicts:
        assert verdict in out
    assert (DIAGNOSIS in " ".join(out.split())) is (colour == "red")
    assert "Traceback" not in out


def test_the_command(shell: Shell, colour: str) -> None:
    check(shell("bnspec certify"), colour, *VERDICTS[colour])


def test_plain_pytest_with_the_items_of_the_gate_and_of_the_decorator(shell: Shell, colour: str) -> None:
    done = shell(f'{sys.executable} -m pytest -q -rA -p no:cacheprovider -n 2 -k "R2 or verdict"')
    check(done, colour, *VERDICTS[colour])
    words = "FAILED" if colour == "red" else "PASSED"
    for item in ("bnspec::norms.py:LeanBatchNorm-R2", "test_norms.py::test_lean[R2]"):
        assert f"{words} {item}" in done.stdout
    for item in ("bnspec::norms.py:FoldedBatchNorm-verdict", "test_norms.py::test_folded[verdict]"):
        assert f"PASSED {item}" in done.stdout


def read_action() -> Any:
    return yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))


def fill(text: str, inputs: dict[str, str]) -> str:
    """What GitHub makes of the expressions of a step."""
    known = {"github.action_path": str(ROOT), **{f"inputs.{name}": value for name, value in inputs.items()}}
    return re.sub(r"\$\{\{ (\S+) \}\}", lambda found: known[found[1]], text)


def test_the_steps_of_the_action(shell: Shell, colour: str, tmp_path: Path) -> None:
    action = read_action()
    inputs = {name: each["default"] for name, each in action["inputs"].items()}
    inputs["options"] = "--clause F1 R2 E1 # * $(exit 9)"
    (step,) = (step for step in action["runs"]["steps"] if step["name"] == "Certify")
    variables = {name: fill(value, inputs) for name, value in step["env"].items()}
    refused = shell(fill(step["run"], inputs), **variables)
    assert refused.returncode == 2, "options are words, and never run"
    variables["OPTIONS"] = "--clause F1 R2 E1"
    check(shell(fill(step["run"], inputs), **variables), colour)
    summary = (tmp_path / "summary.md").read_text(encoding="utf-8")
    assert "### `norms.py:FoldedBatchNorm` conforms" in summary
    assert f"### `norms.py:LeanBatchNorm` {'does not conform' if colour == 'red' else 'conforms'}" in summary
    kept = next(step for step in action["runs"]["steps"] if "upload-artifact" in step.get("uses", ""))
    for file in fill(kept["with"]["path"], inputs).split():
        assert (tmp_path / "project" / file).is_file()


def test_the_hook_for_pre_commit(shell: Shell, colour: str) -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("pre-commit takes hooks from a repository: this is no checkout")
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert hook["language"] == "system"
    config = {"repos": [{"repo": "local", "hooks": [{**hook, "verbose": True}]}]}
    script = f"git init -q && git add . && echo '{yaml.safe_dump(config)}' > .pre-commit-config.yaml"
    check(shell(f"{script} && {sys.executable} -m pre_commit run --all-files"), colour, *VERDICTS[colour])


def test_the_snippet_for_gitlab(shell: Shell, colour: str, tmp_path: Path) -> None:
    blocks = re.findall(
        r"^```yaml\n(.*?)^```", (ROOT / "docs/ci.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    (job,) = (document["bnspec"] for document in map(yaml.safe_load, blocks) if "bnspec" in document)
    done = shell("\n".join(job["script"]))
    check(done, colour, *VERDICTS[colour])
    for file in (*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]):
        assert (tmp_path / "project" / file).is_file()


def test_the_settings_in_the_docs_are_those_of_the_command() -> None:
    text = (ROOT / "docs/ci.md").read_text(encoding="utf-8")
    from bnspec.settings import KINDS

    listed = re.search(r"`bnspec certify --help`:\s(.*?)\. ", text, re.DOTALL)
    assert listed is not None
    assert re.findall(r"`(\w+)`", listed[1]) == sorted(KINDS)
