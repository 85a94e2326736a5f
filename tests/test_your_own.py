"""The examples of docs/your-own.md: what each command of the page comes to, the notebook, and an adapter installed."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from bnspec.cli import main
from bnspec.layers.signatures import PARAMETERS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/your-own.md").read_text(encoding="utf-8")
OWN = ROOT / "examples/your_own"
COMMANDS = re.findall(r"^    bnspec ((?:certify|identify) examples.*)$", PAGE, re.MULTILINE)
Output = pytest.CaptureFixture[str]


@pytest.mark.parametrize(
    "command", COMMANDS, ids=lambda command: f"{command.split()[0]} {command.split('/')[-1].split()[0]}"
)
def test_what_the_page_asks_for_comes_out(command: str, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    if "c_kernel" in command and shutil.which("cc") is None:
        pytest.skip("there is no C compiler here")
    monkeypatch.chdir(ROOT)
    if ".onnx" in command and find_spec("onnxruntime") is None:
        assert main(shlex.split(command)) == 2  # judged in the environment of onnx, by tests/frameworks.toml
        said = capsys.readouterr().err
        assert said.endswith("which is not installed: pip install onnx onnxruntime, or pip install 'bnspec[onnx]'\n")
        return
    quick = ["--profile", "smoke"] if command.startswith("certify") else []
    assert main([*shlex.split(command), *quick]) == 0, capsys.readouterr().out
    if command.startswith("certify") and "plain_function" in command:
        said = " ".join(capsys.readouterr().out.split())
        promised = re.search(r"^    (understood as .*\n    .*)$", PAGE, re.MULTILINE)
        assert promised
        assert " ".join(promised[1].split()) in said


def test_the_notebook_is_told_what_is_wrong_with_its_class() -> None:
    cells = json.loads((OWN / "in_a_notebook.ipynb").read_text(encoding="utf-8"))["cells"]
    code = "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    run = subprocess.run(
        [sys.executable, "-"], input=code, cwd=ROOT, capture_output=True, text=True, check=True, timeout=300
    )
    assert "__main__:MyBatchNorm DOES NOT CONFORM" in run.stdout
    assert "it looks as if the biased variance were stored" in " ".join(run.stdout.split())
    assert "`stores` (the variance that is stored) is 'biased' instead of 'unbiased'" in " ".join(run.stdout.split())


def test_an_adapter_that_is_installed_is_asked(tmp_path: Path) -> None:
    shutil.copytree(OWN / "adapter", tmp_path / "adapter")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run([*pip, "--target", tmp_path / "site", tmp_path / "adapter"], check=True)
    path = os.pathsep.join([str(ROOT), str(tmp_path / "site")])
    command = [sys.executable, "-m", "bnspec.cli", "certify", "tinynorm:normalise", "--profile", "smoke"]
    run = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr
    assert "tinynorm:normalise CONFORMS to flax" in run.stdout


def test_the_page_lists_every_name_that_is_understood() -> None:
    table = PAGE[PAGE.index("| role |") : PAGE.index("It may return y")]
    assert set(re.findall(r"`(\w+)`", table)) == {name for names in PARAMETERS.values() for name in names}
