"""Targets that load and cannot be resolved: each is a TargetError, which says why and what mends it."""

from __future__ import annotations

import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from torch import nn

from bnspec.layers.implementation import resolve
from tests.target_samples import RIGHT, load_samples, refusal

REFUSED = load_samples("refused_targets.py", "NoEps")


def declaring(**declarations: Any) -> type:
    return type("Declaring", (RIGHT.PlainTorch,), {f"bnspec_{name}": value for name, value in declarations.items()})


class Locked(RIGHT.PlainTorch):  # type: ignore[misc]  # of a module loaded by its path
    """What cannot be copied."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.lock = threading.Lock()


class OfArrays:
    """A course's constructor."""

    def __init__(self, gamma: Any, beta: Any, momentum: float = 0.9) -> None:
        raise NotImplementedError


def of_a_dictionary(x: Any, gamma: Any, beta: Any, bn_param: dict[str, Any]) -> Any:
    """A course's function."""
    raise NotImplementedError


def of_alpha(x: Any, running_mean: Any, running_var: Any, training: bool, alpha: float = 0.1) -> Any:
    """A momentum by no name that is known, and no eps."""
    return F.batch_norm(x, running_mean, running_var, None, None, training, alpha)


def without_arrays() -> nn.Module:
    """Of however many channels a batch has."""
    return nn.BatchNorm1d(3, affine=False, track_running_stats=False)


@pytest.mark.parametrize(
    ("subject", "arguments", "parts"),
    [
        (
            nn.Linear,
            {"out_features": 3},
            ["nn.BatchNorm1d", "missing are: running_mean, running_var", "Known are", "backward(dy)"],
        ),
        (REFUSED.WithoutBackward, {}, ["nearest is a NumPy layer", "missing are: backward", "--without"]),
        (3, {}, ["int gives a int", "Known are"]),
        (Locked(3), {}, ["cannot pickle '_thread.lock'", "an instance is judged by copies of it: name its class"]),
        (
            OfArrays,
            {},
            ["constructed with gamma and beta", "def layer(num_features", "return OfArrays(gamma=..., beta"],
        ),
        (of_a_dictionary, {}, ["needs a value for 'bn_param'", "wrap it in def bn(x, gamma, beta, running_mean, "]),
        (of_alpha, {}, ["takes no eps by the name eps or epsilon: name it so, or declare", "on the function"]),
        (RIGHT.PlainTorch(3), {"eps": 1.0}, ["instance of PlainTorch takes no arguments", "name its class"]),
        (RIGHT.PlainTorch, {"epz": 1.0}, ["PlainTorch has no parameter 'epz'", "did you mean eps?"]),
        (F.batch_norm, {"epz": 1.0}, ["batch_norm has no parameter 'epz'", "did you mean eps?"]),
        (REFUSED.Depends, {}, ["Depends needs a value for 'groups'", "--arg groups=VALUE"]),
        (REFUSED.wants_more, {}, ["wants_more needs a value for 'mode'", "--arg mode=VALUE"]),
        (REFUSED.lacks_training, {}, ["lacks_training has no parameter training"]),
        (REFUSED.NoEps, {}, ["NoEps takes no eps", "attribute eps or epsilon", "bnspec_eps = ..."]),
        (F.batch_norm, {"momentum": "much"}, ["momentum is 'much': a number is wanted"]),
        (
            REFUSED.NeverConstructs,
            {},
            ["NeverConstructs(num_features=3) cannot be called", "ValueError: no kernel for this machine"],
        ),
        (
            REFUSED.NeverReturns,
            {},
            ["float32 batch of shape (4, 3) in training", "ValueError: no kernel for this dtype", "(N, C, ...)"],
        ),
        (REFUSED.leaves, {}, ["leaves(_=3) cannot be called: it raised SystemExit: 3"]),
        (torch.relu, {}, ["no signature that Python can read", "wrap it"]),
        (without_arrays, {}, ["number of channels of without_arrays cannot be read"]),
        (F.batch_norm, {"momentum": None}, ["momentum of batch_norm is fixed at None", "no count of batches"]),
        (declaring(dialect="tourch"), {}, ["bnspec_dialect is 'tourch'", "did you mean torch"]),
        (declaring(ranks=(1,)), {}, ["bnspec_ranks is (1,)", "from 2 on"]),
        (declaring(dtypes="float32"), {}, ["bnspec_dtypes is 'float32'", "a tuple of names"]),
        (declaring(dtypes=("float31",)), {}, ["names 'float31'", "did you mean float32"]),
        (declaring(devices=("tpu",)), {}, ["names 'tpu'", "did you mean cpu?"]),
        (declaring(eps="small"), {}, ["bnspec_eps is 'small': a number is wanted"]),
        (declaring(algorithm="welford"), {}, ["bnspec_algorithm is 'welford'", "there is any"]),
        (declaring(without=("gradient",)), {}, ["bnspec_without names 'gradient'", "did you mean gradients"]),
    ],
)
def test_a_target_that_cannot_be_resolved_says_why_and_what_mends_it(
    subject: Any, arguments: dict[str, Any], parts: list[str]
) -> None:
    message = refusal(lambda: resolve(subject, arguments))
    assert [part for part in parts if part not in message] == [], message


def test_an_ability_that_does_not_exist_is_refused() -> None:
    message = refusal(lambda: resolve(nn.BatchNorm1d, without=frozenset({"gradent"})))
    assert "names no ability by 'gradent', did you mean gradients" in message


@pytest.mark.skipif(torch.cuda.is_available(), reason="says what is said where there is no GPU")
def test_a_target_for_a_device_that_is_not_here_is_refused() -> None:
    assert "declares the devices ('cuda',): this machine has none" in refusal(
        lambda: resolve(declaring(devices=("cuda",)))
    )
