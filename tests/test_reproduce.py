"""Scripts that show a failure without bnspec: by the user's own code, literal values, and what was got and wanted."""

from __future__ import annotations

import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from bnspec.cli import main
from bnspec.reproduce.literals import READ_PACKED, write_array, write_number
from bnspec.reproduce.trying import run_script, shows

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "tests/targets/script_layers.py"
Output = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with layers of the user's own; what targets put on the path goes with the test."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.copy(SAMPLES, tmp_path / "layers.py")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write(project: Path, target: str, *options: str) -> list[Path]:
    """The scripts that the command writes for a layer of the project."""
    folder = project / "scripts"
    assert main(["certify", target, "--profile", "smoke", "--scripts", str(folder), *options]) == 1
    return sorted(folder.iterdir())


def run(script: Path) -> subprocess.CompletedProcess[str]:
    """Where no bnspec can be imported."""
    poison = script.parents[1] / "poison"
    poison.mkdir(exist_ok=True)
    (poison / "bnspec.py").write_text("raise SystemExit('a script imported bnspec')\n", encoding="utf-8")
    environment = {**os.environ, "PYTHONPATH": str(poison)}
    command = [sys.executable, "-W", "error", str(script)]
    return subprocess.run(command, cwd=script.parents[1], env=environment, capture_output=True, text=True, check=False)


CASES = {
    "torch module": ("layers.py:Biased", ("R2", "S2", "S3", "S6"), "return var"),
    "a gradient": ("layers.py:Detached", ("G1",), "mean.detach()"),
    "torch function": ("layers.py:function", ("F1", "G1"), "1.01 *"),
    "NumPy": ("layers.py:Teaching", ("R2",), "self.running_var + momentum * var"),
    "a mode told in calls": ("layers.py:ToldInCalls", ("R2",), "self.running_var + momentum * var"),
    "a module told in calls": ("layers.py:ToldModules", ("F1", "S6"), "super().forward(input) * 1.5"),
    "what raises": ("layers.py:Raises", ("F1",), "raise RuntimeError"),
    "bit for bit": ("layers.py:Writes", ("F7",), "input.zero_()"),
    "numbers formed of many": ("layers.py:function", ("F2", "G3", "G9"), "1.01 *"),
    "a count": ("layers.py:Forgets", ("R11",), "+= 0"),
    "a dtype": ("layers.py:Doubles", ("F7", "E1"), "y.double()"),
    "what is not finite": ("layers.py:Cleans", ("N6",), "torch.nan_to_num(y)"),
    "an answer for a refusal": ("layers.py:Broadcasts", ("B1", "B8"), "assert input.ndim > 1"),
}


@pytest.mark.parametrize(("target", "clauses", "fault"), CASES.values(), ids=CASES)
def test_each_failure_has_a_script_that_is_red_until_the_fault_is_mended(
    project: Path, capsys: Output, target: str, clauses: tuple[str, ...], fault: str
) -> None:
    plain = ("--without", "untracked", "unscaled", "unshifted", "--clause", *clauses)
    scripts = write(project, target, *plain)
    failed = re.findall(r"again: bnspec certify \S+ .*--clause (\w+) ", capsys.readouterr().out)
    assert failed
    assert [script.stem.rpartition("-")[2] for script in scripts] == sorted(failed)
    done = run(scripts[0])
    assert (done.returncode, done.stderr) == (1, "")
    for script in scripts:
        text = script.read_text(encoding="utf-8")
        assert f"bnspec certify {target}" in text
        assert not re.search(r"^\s*(import|from) bnspec", text, re.MULTILINE)
        code, said = run_script(text)
        assert code == 1, text
        assert re.search(r"got .*, wanted ", said)
    layers = project / "layers.py"
    whole = layers.read_text(encoding="utf-8")
    (mended,) = re.findall(rf"^# {re.escape(fault)} -> (.*)$", whole, re.MULTILINE)
    layers.write_text(whole.replace(fault, mended), encoding="utf-8")
    done = run(scripts[0])
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    for script in scripts:
        code, said = run_script(script.read_text(encoding="utf-8"))
        assert code == 0, said


def test_a_folder_that_cannot_be_made_is_refused_before_anything_runs(project: Path, capsys: Output) -> None:
    assert main(["certify", "layers.py:Biased", "--scripts", str(project / "layers.py")]) == 2
    captured = capsys.readouterr()
    assert "cannot be made (File exists); name a folder that can" in captured.err
    assert not captured.out


def test_a_script_says_the_numbers_of_the_certificate(project: Path, capsys: Output) -> None:
    (script,) = write(project, "layers.py:Biased", "--clause", "R2")
    told = re.search(r"got (\S+), wanted (\S+)\s+within", " ".join(capsys.readouterr().out.split()))
    assert told is not None
    assert f"got {told[1]}, wanted {told[2]} within" in run(script).stdout


def test_what_has_no_script_is_said(project: Path, capsys: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bnspec.reproduce.script.shows", lambda script, *_, **__: "output" in script.partition("\n")[0])
    (script,) = write(project, "layers.py:function", "--clause", "F1", "G1")
    assert script.stem.endswith("-F1")
    out = capsys.readouterr().out
    assert "1 scripts written to" in out
    assert "none for G1, which `bnspec replay` shows" in out


def test_scripts_of_a_layer_that_dies_are_written_in_a_child(project: Path, capsys: Output) -> None:
    shutil.copy(ROOT / "tests/targets/cli_layers.py", project / "dying.py")
    assert write(project, "dying.py:DiesOnLongBatches", "--isolate", "--clause", "F1") == []
    assert "0 scripts written to" in capsys.readouterr().out


# Literals


@pytest.mark.parametrize("number", [0.0, -0.0, 1.0, -1.5, 0.1, 5e-324, 1e300, math.inf, -math.inf, math.nan])
def test_numbers_come_back_to_the_last_bit(number: float) -> None:
    again = float.fromhex(write_number(number))
    assert again.hex() == number.hex()


ARRAYS = {
    "rows": np.arange(6, dtype=np.float32).reshape(2, 3) / 3,
    "transposed": np.arange(6, dtype=np.float64).reshape(3, 2).T / 7,
    "every other one": np.arange(12, dtype=np.float32)[1::2] / 3,
    "expanded": np.broadcast_to(np.float32(1.5), (2, 3)),
    "half": np.array([0.1, -65504, 6e-8], np.float16),
    "bfloat16": np.array([0.1, -3e38, 1e-40], ml_dtypes.bfloat16),
    "empty": np.zeros((0, 3), np.float32),
    "long": np.random.default_rng(0).normal(size=5000).astype(np.float32),
}


@pytest.mark.parametrize("values", ARRAYS.values(), ids=ARRAYS)
@pytest.mark.parametrize("framework", ["torch", "numpy"])
def test_arrays_come_back_as_they_lay(
    values: np.ndarray[tuple[int, ...], np.dtype[np.float32]], framework: str
) -> None:
    import base64
    import zlib

    import torch

    from bnspec.layers.torch_tensors import to_array
    from bnspec.reproduce import numpy_text, torch_helpers

    helpers = {"torch": torch_helpers.HELPERS, "numpy": numpy_text.HELPERS}[framework]
    if framework == "numpy" and values.dtype == ml_dtypes.bfloat16:
        pytest.skip("NumPy has no bfloat16 of its own, and no shape of a NumPy layer promises it")
    known: dict[str, object] = {"np": np, "torch": torch, "zlib": zlib, "base64": base64}
    exec(READ_PACKED + helpers, known)
    made = eval(f"{'tensor' if framework == 'torch' else 'array'}({write_array(values)})", known)
    array = to_array(made) if framework == "torch" else made
    assert array.dtype == values.dtype
    assert array.shape == values.shape
    assert array.astype(np.float64).tobytes() == values.astype(np.float64).tobytes()
    if values.size:
        strides = made.stride() if framework == "torch" else tuple(s // made.itemsize for s in made.strides)
        assert tuple(strides) == tuple(s // values.itemsize for s in values.strides)


# The trial


@pytest.mark.parametrize(
    ("script", "shown"),
    [
        ("import sys\nsys.exit(1)", True),
        ("import sys\nsys.exit(True)", True),
        ("import sys\nsys.exit(0)", False),
        ("pass", False),
        ("1 / 0", False),
        ("import os\nos.kill(os.getpid(), 9)", False),
        ("import os\nos._exit(1)", False),
    ],
)
def test_a_script_must_end_with_1_by_its_own_word(script: str, shown: bool) -> None:
    assert shows(script) is shown
