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

import numpy as np
import pytest
import torch

from bnspec.cli import main
from bnspec.layers.functions import resolve_function
from bnspec.layers.implementation import resolve
from bnspec.layers.signatures import PARAMETERS, Update, find_update
from bnspec.layers.target import TargetError

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


# Functions


def test_new_statistics_are_found_among_what_is_returned() -> None:
    def unlike(one: object, other: object) -> bool:
        return one != other

    assert find_update([("y", "m", 1, 2), ("y", "m", 3, 4)], unlike) == Update((2, 3), several=True)
    assert find_update([("y", "m"), ("y", "m")], unlike) == Update(several=True)
    assert find_update(["y", "y"], unlike) == Update()


SOURCE = """
{imports}

def batch_norm(inputs, moving_mean, moving_variance, is_training, {more}decay=0.1, epsilon=1e-5):
    if inputs.dtype {kind} or inputs.ndim < 2 or inputs.shape[1] != len(moving_mean):
        raise ValueError("no batch")
    axes = (0, *range(2, inputs.ndim))
    shape = (1, -1) + (1,) * (inputs.ndim - 2)
    m = inputs.shape[0] * int({prod}(inputs.shape[2:]))
    mean, var = moving_mean, moving_variance
    if is_training and m:
        if m < 2:
            raise ValueError("one value")
        mean, var = inputs.mean({axes}), inputs.var({axes}{biased})
    y = (inputs - mean.reshape(shape)) / (var.reshape(shape) + epsilon) ** 0.5
    if not is_training or not m:
        return y, moving_mean, moving_variance
    old = 1 - decay
    return y, old * moving_mean + decay * mean, old * moving_variance + decay * var * m / (m - 1)
"""
NUMPY = {"imports": "import numpy as np", "kind": ".kind != 'f'", "prod": "np.prod", "axes": "axes", "biased": ""}
TORCH = {
    "imports": "import torch, math", "kind": ".is_floating_point is False", "prod": "math.prod", "axes": "dim=axes",
    "biased": ", unbiased=False",
}  # fmt: skip


@pytest.mark.parametrize(("words", "arrays"), [(NUMPY, "NumPy arrays"), (TORCH, "torch tensors")])
def test_a_function_without_parameters_that_returns_its_statistics_conforms(
    words: dict[str, str], arrays: str, tmp_path: Path, capsys: Output
) -> None:
    file = tmp_path / "plain.py"
    file.write_text(SOURCE.format(more="", **words))
    asked = ("--without", "affine", "--profile", "smoke", "--dtype", "float64", "--clause", "F1", "R2", "R3", "E1")
    assert main(["certify", f"{file}:batch_norm", *asked]) == 0, capsys.readouterr().out
    said = " ".join(capsys.readouterr().out.split())
    assert f"understood as a function of {arrays}: inputs as x, moving_mean as running_mean" in said
    assert "y is returned first, the new running mean as value 2 and the new running variance as value 3" in said


def test_a_function_of_numpy_beside_torch_is_called_with_arrays() -> None:
    """It would take tensors too, by accident, as long as none of them needs a gradient."""

    def batch_norm(x, running_mean, running_var, training, momentum=0.1, eps=1e-5):  # type: ignore[no-untyped-def]  # as above
        mean, var = (x.mean(0), x.var(0)) if training else (running_mean, running_var)
        return (x - mean) / np.sqrt(var + eps), running_mean + momentum * (mean - running_mean), running_var

    assert torch is not None, "this module knows torch"
    assert "a function of NumPy arrays" in resolve(batch_norm).understood


def test_a_function_that_returns_a_dictionary_is_told_what_is_wanted() -> None:
    def batch_norm(x, running_mean, running_var, training, momentum, eps):  # type: ignore[no-untyped-def]  # as above
        return {"y": np.sqrt(x**2 + eps), "mean": running_mean, "var": running_var, "told": (training, momentum)}

    with pytest.raises(
        TargetError, match="batch_norm returned a dict for NumPy arrays: y is wanted, or several values"
    ):
        resolve(batch_norm)


def test_what_a_function_needs_besides_is_asked_for(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "plain.py"
    file.write_text(SOURCE.format(more="groups, ", **NUMPY))
    assert main(["certify", f"{file}:batch_norm", "--profile", "smoke"]) == 2
    assert "batch_norm needs a value for 'groups': give it, --arg groups=VALUE" in capsys.readouterr().err


def test_a_function_whose_settings_are_fixed_declares_or_is_given_them() -> None:
    def batch_norm(x, running_mean, running_var, training, eps=1e-5):  # type: ignore[no-untyped-def]  # as users write
        return (x - (x.mean(0) if training else running_mean)) / (running_var + eps) ** 0.5

    with pytest.raises(TargetError, match="momentum"):
        resolve_function(batch_norm, {"momentum": 0.1}, frozenset())
    found = resolve(batch_norm, {"eps": 0.1}, frozenset({"affine"}))
    assert found.promises.eps == 0.1
    assert found.promises.momentum == "absent"
    assert "eps" in found.understood
