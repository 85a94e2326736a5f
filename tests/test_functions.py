"""Functions: what is understood of each, by its names and a trial, and what is refused."""

from __future__ import annotations

import functools
import types
from importlib.util import find_spec
from pathlib import Path as File
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (as everybody does)

from bnspec import certify
from bnspec.cli import main
from bnspec.layers.functions import resolve_function
from bnspec.layers.implementation import resolve
from bnspec.layers.returned import Path, Trial, Update, find_update
from bnspec.layers.target import TargetError
from tests import function_samples as samples

Output = pytest.CaptureFixture[str]
QUICK: dict[str, Any] = {"profile": "smoke", "dtypes": ("float64",), "clauses": ("F1", "F7", "R2", "R3", "E1", "E4")}


def _trials(*returned: tuple[float, float, float]) -> list[Trial]:
    """y and values that are each told for the first call, that of another mean, and that of another variance."""
    x, ones = np.ones((4, 3)), np.ones(3)
    calls: list[dict[Path, Any]] = [
        {(0,): x, **{(i + 1,): each[call] * ones for i, each in enumerate(returned)}} for call in range(3)
    ]
    return [Trial(x, (ones, ones), (ones, ones), arrays, "tuple") for arrays in calls]


def test_new_statistics_are_found_among_what_is_returned() -> None:
    mean, var, other = (2, 3, 2), (4, 4, 5), (6, 6, 6)
    assert find_update("f", _trials(mean, var)) == Update((0,), ((1,), (2,)))
    assert find_update("f", _trials(var, other, mean)) == Update((0,), ((3,), (1,)))
    assert find_update("f", _trials(mean, var, mean)) == Update((0,), ((1,), (2,))), "the same twice"
    assert find_update("f", _trials(other, other)) == Update((0,), ((1,), (2,))), "for want of better ones"
    assert find_update("f", _trials()) == Update((0,), seen=False)
    with pytest.raises(TargetError, match=r"f returned 3 values .* y, \[1\], \[2\], \[3\], and wrote nothing in"):
        find_update("f", _trials(mean, mean, other))


@pytest.mark.parametrize("where", samples.RIGHT)
def test_where_the_statistics_are_is_found_and_the_function_conforms(where: str) -> None:
    function = samples.RIGHT[where]
    y, *places = where.partition(" a")[0].split(", ")
    said = f"y is {y} of what is returned, "
    said += "and the running" if "in place" in where else f"{places[0]} the new running mean and {places[1]} the new"
    assert said in resolve(function).understood
    assert certify(function, **QUICK).verdict == "conforms"


@pytest.mark.parametrize("what", samples.WRONG)
def test_a_function_that_leaves_wrong_statistics_is_refused(what: str) -> None:
    assert certify(samples.WRONG[what], **QUICK).verdict == "does not conform"


@pytest.mark.parametrize("where", samples.RIGHT_TENSORS)
def test_a_function_of_tensors_conforms(where: str) -> None:
    assert certify(samples.RIGHT_TENSORS[where], **QUICK).verdict == "conforms"


@pytest.mark.parametrize("what", samples.WRONG_TENSORS)
def test_a_function_of_tensors_that_leaves_wrong_statistics_is_refused(what: str) -> None:
    assert certify(samples.WRONG_TENSORS[what], **QUICK).verdict == "does not conform"


def test_what_is_said_of_a_function_that_overwrites_what_it_was_given() -> None:
    findings = certify(samples.WRONG["overwrites what it was given"], **QUICK).targets[0]
    assert "overwrote running_mean, which it was given, and returned another one besides" in str(findings)


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
    words: dict[str, str], arrays: str, tmp_path: File, capsys: Output
) -> None:
    file = tmp_path / "plain.py"
    file.write_text(SOURCE.format(more="", **words))
    asked = ("--without", "affine", "--profile", "smoke", "--dtype", "float64", "--clause", "F1", "R2", "R3", "E1")
    assert main(["certify", f"{file}:batch_norm", *asked]) == 0, capsys.readouterr().out
    said = " ".join(capsys.readouterr().out.split())
    assert f"understood as a function of {arrays}: inputs as x, moving_mean as running_mean" in said
    assert "y is [0] of what is returned, [1] the new running mean and [2] the new running variance" in said


def test_a_function_of_numpy_beside_torch_is_called_with_arrays() -> None:
    """It would take tensors too, by accident, and their unbiased variance."""
    assert "a function of NumPy arrays" in resolve(samples.unbiased_by_tensors).understood


def test_a_function_that_returns_nothing_of_use_is_told_what_is_wanted() -> None:
    def batch_norm(x, running_mean, running_var, training, momentum, eps):  # type: ignore[no-untyped-def]  # as above
        return {"told": (training, momentum, eps), "of": len(x), "mean": running_mean is running_var}

    with pytest.raises(TargetError, match="batch_norm returned a dict: y is wanted, or y and more in a tuple"):
        resolve(batch_norm)


@pytest.mark.parametrize("raised", [ValueError("of these no batch"), SystemExit(3)])
def test_what_a_function_raises_is_told_for_either_kind_of_array(raised: BaseException) -> None:
    def batch_norm(x, running_mean, running_var, training, momentum, eps):  # type: ignore[no-untyped-def]  # as above
        if isinstance(x, np.ndarray):
            raise raised
        return x.no_such_method(running_mean, running_var, training, momentum, eps)

    with pytest.raises(TargetError) as error:
        resolve(batch_norm)
    assert f"with NumPy arrays it raised {type(raised).__name__}: {raised}" in str(error.value)
    assert "with torch tensors it raised AttributeError: 'Tensor' object has no attribute" in str(error.value)


def test_what_a_function_needs_besides_is_asked_for(tmp_path: File, capsys: Output) -> None:
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


def test_parameters_that_are_given_are_no_parameters() -> None:
    found = resolve(functools.partial(F.batch_norm, weight=None, bias=None))
    assert not found.promises.abilities & {"gamma", "beta", "affine"}
    assert "given are weight=None, bias=None; y is returned" in found.understood
    assert "evaluation" not in resolve(F.batch_norm, {"training": True}).promises.abilities
    with pytest.raises(TargetError, match="batch_norm is given weight, which each layer has its own of"):
        resolve(F.batch_norm, {"weight": torch.ones(3)})
    statistics = resolve(F.batch_norm, {"running_mean": None, "running_var": None, "training": True})
    assert "running_statistics" not in statistics.promises.abilities
    assert statistics.understood.endswith("and there are no running statistics")


def test_a_function_of_open_keywords_is_given_what_it_wants() -> None:
    def batch_norm(x, running_mean, running_var, training, **more):  # type: ignore[no-untyped-def]  # as above
        return F.batch_norm(x, running_mean, running_var, None, None, training, more["momentum"], more["eps"])

    found = resolve(batch_norm, {"momentum": 0.3, "eps": 0.1})
    assert "given are momentum=0.3, eps=0.1" in found.understood


def test_a_scripted_function_is_called_by_its_schema() -> None:
    with pytest.warns(DeprecationWarning, match="torch.jit.script"):
        scripted = torch.jit.script(samples.to_script)
    assert ", eps; y is returned, and" in resolve(scripted).understood
    assert resolve(scripted).defaults == {"eps": 1e-5, "momentum": 0.1}


@pytest.mark.parametrize("target", [samples.Applied, samples.Applied.apply])
def test_an_autograd_function_is_what_its_forward_takes(target: Any) -> None:
    found = resolve(target)
    assert found.name == "Applied.apply"
    assert "a function of torch tensors: x, running_mean, running_var, gamma, beta, training" in found.understood
    assert certify(target, **QUICK).verdict == "conforms"


def test_a_function_without_running_statistics_is_judged_by_its_batches() -> None:
    def normalise(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
        if x.ndim != 2 or len(x) < 2:
            raise ValueError("no batch")
        return (x - x.mean(0)) / np.sqrt(x.var(0) + eps) * gamma + beta, (x.mean(0), x.var(0))

    assert "y is [0] of what is returned, and there are no running statistics; " in resolve(normalise).understood
    assert certify(normalise, profile="smoke", dtypes=("float64",), clauses=("F1", "F2")).verdict == "conforms"

    def divides_by_less(x: Any, gamma: Any, beta: Any, eps: float = 1e-5) -> Any:
        return normalise(x, gamma * ((len(x) - 1) / len(x)) ** 0.5, beta, eps)

    verdict = certify(divides_by_less, profile="smoke", dtypes=("float64",), clauses=("F1", "F2")).verdict
    assert verdict == "does not conform"


@pytest.mark.parametrize(
    ("taken", "given", "kept"),
    [
        (("float32", "float64"), "", ("float32", "float64")),
        (("float32",), "", ("float32",)),
        (("float32", "float64"), "float64", ("float64",)),
        (("float32", "float64"), "float32", ("float32", "float64")),  # who gives float32 for float64 is told so
    ],
)
def test_the_dtypes_that_a_function_of_arrays_keeps_are_found(
    taken: tuple[str, ...], given: str, kept: tuple[str, ...]
) -> None:
    def batch_norm(x, running_mean, running_var, training, momentum=0.1, eps=1e-5):  # type: ignore[no-untyped-def]  # as above
        if x.dtype not in taken:
            raise TypeError("another dtype")
        mean, var = (x.mean(0), x.var(0)) if training else (running_mean, running_var)
        y = (x - mean) / np.sqrt(var + eps)
        return y.astype(given or x.dtype), running_mean * (1 - momentum), running_var * (1 - momentum)

    promises = resolve(batch_norm).promises
    assert promises.dtypes == kept
    assert "cumulative" not in promises.abilities, "a function has no count of batches"


def test_a_function_of_other_names_is_told_which_are_known() -> None:
    def batch_norm(x, mu, sigma2, training):  # type: ignore[no-untyped-def]  # as above
        return x, mu, sigma2, training

    with pytest.raises(
        TargetError, match="batch_norm has no parameters running_mean or moving_mean and running_var or"
    ):
        resolve(batch_norm)

    def infer(x, running_mean, running_var, gamma, beta, eps):  # type: ignore[no-untyped-def]  # as above
        return x, running_mean, running_var, gamma, beta, eps

    with pytest.raises(
        TargetError, match="infer has no parameter training or train or is_training or train_flg: add it, or wrap"
    ):
        resolve(infer)


def test_a_function_that_calls_jax_is_handed_its_arrays() -> None:
    """What it comes to is judged in the environment of flax, by tests/frameworks.toml."""
    if find_spec("jax") is not None:
        pytest.skip("jax is installed: this is what is said where it is not")
    known = {"jnp": types.ModuleType("jax.numpy")}
    code = "def batch_norm(x, running_mean, running_var, training, momentum, eps): return jnp.sqrt(x)"
    exec(code, known)
    with pytest.raises(TargetError, match="for a call with JAX arrays 'jax' is not installed: pip install jax"):
        resolve(known["batch_norm"])
