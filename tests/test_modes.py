"""How layers are told to train and to evaluate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

import bnspec
from bnspec.certificate.model import TargetReport
from bnspec.identification.identity import identify
from bnspec.layers.implementation import resolve
from bnspec.layers.modes import Mode, find_mode
from bnspec.layers.target import TargetError
from bnspec.mutants.numpy_base import BatchNorm

Array = NDArray[Any]


class ByKeyword(nn.Module):
    """Chainer's conventions, called as layer(x, training=True)."""

    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, momentum: float = 0.9, eps: float = 2e-5) -> None:
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.weight, self.bias = nn.Parameter(torch.ones(num_features)), nn.Parameter(torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features))

    def forward(self, x: Tensor, training: bool = False) -> Tensor:
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training, 1 - self.momentum, self.eps
        )


class Nonsense(ByKeyword):
    """Right in evaluation alone."""

    def forward(self, x: Tensor, training: bool = False) -> Tensor:
        return x * 0 + 42 if training else super().forward(x)


class ByArgument(BatchNorm):
    """A train() that wants to be told, and no eval()."""

    def train(self, mode: bool) -> None:
        self.training = mode


class ByFlag(BatchNorm):
    """The mode of a call, as a well-known course has it."""

    def __call__(self, *arguments: Any) -> Array:
        return self.forward(*arguments)

    def forward(self, x: Array, train_flg: bool = True) -> Array:
        self.training = train_flg
        y = super().forward(x)
        del self.training
        return y


class OwnUnlessTold(BatchNorm):
    """A parameter that is left at None, where the layer has a mode of its own."""

    def forward(self, x: Array, training: bool | None = None) -> Array:
        assert training is None
        return super().forward(x)


def judge(obj: Any, **options: Any) -> TargetReport:
    return bnspec.certify(obj, **{"profile": "smoke", "dtypes": ["float32"], **options}).targets[0]


MODES = {
    nn.BatchNorm1d: Mode((".eval()", ".train()")),
    ByKeyword: Mode((".eval()", ".train()"), "", "training"),
    BatchNorm: Mode((".training = False", ".training = True")),
    ByArgument: Mode((".train(False)", ".train(True)")),
    ByFlag: Mode((".training = False", ".training = True"), ".forward", "train_flg"),
    OwnUnlessTold: Mode((".training = False", ".training = True")),
}


@pytest.mark.parametrize(("layer", "mode"), MODES.items(), ids=[layer.__name__ for layer in MODES])
def test_the_way_is_found(layer: Any, mode: Mode) -> None:
    assert find_mode(layer(3)) == mode
    assert ("switches" in resolve(layer).promises.abilities) == (not mode.parameter)


@pytest.mark.parametrize(("layer", "dialect"), [
    (ByKeyword, "chainer"), (ByArgument, "torch-functional"), (ByFlag, "torch-functional"),
    (OwnUnlessTold, "torch-functional"),
])  # fmt: skip
def test_right_layers_conform_whatever_tells_them(layer: Any, dialect: str) -> None:
    report = judge(layer, dialect=dialect)
    assert report.verdict == "conforms"
    assert report.clause("F1").executed > 100
    assert report.clause("E1").executed > 50


def test_training_by_a_keyword_is_judged_and_identified() -> None:
    report = judge(Nonsense, dialect="chainer")
    assert {"F1", "R2", "G1"} <= {c.id for c in report.clauses if c.outcome == "fail"}
    assert report.clause("E1").outcome == "pass"
    assert judge(ByKeyword, dialect="timm-frozen").verdict == "does not conform"
    assert identify(ByKeyword).nearest.names == ("chainer",)


def test_what_has_no_mode_is_said() -> None:
    class Modeless(BatchNorm):
        def __init__(self, num_features: int) -> None:
            super().__init__(num_features)
            del self.training

        def forward(self, x: Array) -> Array:
            return np.asarray(x)

    with pytest.raises(TargetError, match="training as a parameter of its call"):
        resolve(Modeless)
