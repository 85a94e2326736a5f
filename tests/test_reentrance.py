"""Passes that wait for their backwards while others run: wrong layers are refused by the clause that names them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from bnspec.conformance.compare import Judgement
from torch import Tensor, nn

import bnspec
from bnspec.api import make_subject
from bnspec.cases.case import Case
from bnspec.cases.layouts import LAYOUTS
from bnspec.certificate.model import ClauseReport
from bnspec.engine.judging import judge_case
from bnspec.engine.plan import Request
from bnspec.layers.implementation import resolve
from bnspec.layers.protocol import ALL, Structure, SubjectError
from bnspec.layers.target import load_target
from bnspec.mutants.table import RIGHT_LAYERS, RightLayer
from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept, over_channels
from tests.lifecycle_layers import BatchRecognised, BuffersReadAgain, ScratchShared

PLAIN = f"{Path(__file__).parent}/targets/right_layers.py:PlainTorch"
SEEDS = range(5)
CLAUSES = ("G8", "S6")
RIGHT = {
    "1d": ("torch.nn:BatchNorm1d", {}),
    "2d": ("torch.nn:BatchNorm2d", {}),
    "3d": ("torch.nn:BatchNorm3d", {}),
    "sync": ("torch.nn:SyncBatchNorm", {}),
    "function": ("torch.nn.functional:batch_norm", {}),
    "reference": ("reference:torch", {}),
    "reference, biased": ("reference:torch", {"unbiased": False}),
    "plain": (PLAIN, {}),
    "without affine": ("torch.nn:BatchNorm1d", {"affine": False}),
    "plain average": ("torch.nn:BatchNorm1d", {"momentum": None}),
    "eps and momentum fixed": ("torch.nn:BatchNorm2d", {"eps": 0.01, "momentum": 0.25}),
}


def judge(obj: Any, clause: str, **options: Any) -> ClauseReport:
    options = {"profile": "smoke", "clauses": [clause], "dialect": "torch", **options}
    return bnspec.certify(obj, **options).targets[0].clause(clause)


def judge_once(obj: Any, clause: str, **changes: Any) -> Judgement:
    """One readable case."""
    subject = make_subject(obj, Request("torch"), {})[0]
    case = Case("reentrance", "float64", **{"shape": (4, 3), "eps": 0.1, "momentum": 0.3, **changes})
    return judge_case(subject, case, "cpu", (clause,))[clause]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_of_x_passes(layout: str) -> None:
    subject = make_subject(nn.BatchNorm2d, Request("torch"), {})[0]
    case = Case("reentrance", "float32", (3, 2, 2, 3), 0.1, 0.3, layout=layout)
    judged = judge_case(subject, case, "cpu", ("F1", "R2", *CLAUSES))
    assert {clause: judgement.failed for clause, judgement in judged.items()} == dict.fromkeys(judged, False)
    assert len(judged) == 4


def outcomes(obj: Any, seed: int, **options: Any) -> list[str]:
    report = bnspec.certify(obj, profile="smoke", clauses=CLAUSES, seed=seed, **options).targets[0]
    return [report.clause(clause).outcome for clause in CLAUSES]


@pytest.mark.parametrize("name", RIGHT)
def test_right_layers_pass(name: str) -> None:
    target, arguments = RIGHT[name]
    dialect = "makemore" if name == "reference" else "torch"
    for seed in SEEDS:
        dtypes = [("float32", "float64")[seed % 2]]
        found = outcomes(load_target(target).obj, seed, arguments=arguments, dialect=dialect, dtypes=dtypes)
        assert found == ["pass", "pass"], f"seed {seed}"


@pytest.mark.parametrize("layer", [r for r in RIGHT_LAYERS if r.form != "numpy"], ids=lambda layer: layer.id)
def test_right_layers_by_other_roads_pass(layer: RightLayer) -> None:
    for seed in SEEDS[:2]:
        dtypes = [("float32", "float64")[seed % 2]]
        assert outcomes(load_target(layer.target).obj, seed, dialect=layer.dialect, dtypes=dtypes) == ["pass", "pass"]


# ---- G8
class ModeReadAgain(HandBackward):
    """The mode is looked up in the backward."""

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        return super().dx(dy, replace(kept, coupled=self.training), dgamma, dbeta)


class Scale(torch.autograd.Function):
    """xhat gamma; the gamma of the backward is looked up."""

    @staticmethod
    def forward(ctx: Any, xhat: Tensor, weight: Tensor, layer: Any) -> Tensor:
        ctx.save_for_backward(xhat)
        ctx.layer = layer
        return xhat * over_channels(weight, xhat)

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor, None]:
        (xhat,) = ctx.saved_tensors
        return dy * over_channels(ctx.layer.weight.detach(), dy), ctx.layer.rows(dy * xhat).sum(1), None


class GammaReadAgain(BatchNorm):
    def scale_and_shift(self, xhat: Tensor) -> Tensor:
        assert self.weight is not None
        y: Tensor = Scale.apply(xhat, self.weight, self)  # type: ignore[no-untyped-call]  # untyped in torch
        return y if self.bias is None else y + over_channels(self.bias, y)


class Raises(nn.BatchNorm1d):
    """One forward at a time."""

    waits = False

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        if self.waits and self.training:
            raise RuntimeError("a backward is due")
        y = super().forward(input)
        if y.requires_grad:
            self.waits = True
            y.register_hook(lambda _: setattr(self, "waits", False))  # type: ignore[no-untyped-call]  # untyped in torch
        return y


class NotTogether(HandBackward):
    """dbeta of the later of two passes is lost where both are answered in one backward."""

    last: Tensor | None = None

    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        dx, dgamma, dbeta = super().gradients(dy, kept)
        lost, self.last = self.last is not None, dbeta
        return dx, dgamma, torch.zeros_like(dbeta) if lost else dbeta

    def forward(self, x: Tensor) -> Tensor:
        self.last = None
        return super().forward(x)


@pytest.mark.parametrize("wrong", [ScratchShared, ModeReadAgain, Raises, NotTogether], ids=lambda w: w.__name__)
def test_passes_that_disturb_each_other_are_refused(wrong: Any) -> None:
    assert judge(wrong, "G8").outcome in ("fail", "crashed")


def test_where_a_disturbance_shows() -> None:
    assert "when two forwards wait" in judge_once(ScratchShared, "G8").quantity
    assert "after" in judge_once(ModeReadAgain, "G8").quantity
    assert "a backward is due" in judge_once(Raises, "G8").got


@pytest.mark.parametrize(("wrong", "what"), [(BuffersReadAgain, "buffers"), (GammaReadAgain, "parameters")])
def test_a_number_of_another_state_is_refused(wrong: Any, what: str) -> None:
    assert judge(wrong, "G8").outcome == "fail"
    assert f"after a write to {what}" in judge_once(wrong, "G8").quantity


def test_an_error_after_a_write_is_allowed() -> None:
    """autograd notices that gamma was written to, and says so."""
    layer = resolve(nn.BatchNorm1d).make(Structure(3, 2, "float64", "cpu", 0.1, 0.3))
    x = np.arange(12.0).reshape(4, 3)
    waiting = layer.run(x, training=True, grad=ALL)
    layer.load(layer.state())
    with pytest.raises(SubjectError, match="modified by an inplace operation"):
        waiting.backward(x)


# ---- G14
def test_torch_answers_a_late_evaluation_with_another_state() -> None:
    """Measured with torch 2.13.0 (CPU): the training forward writes the buffers without telling autograd."""
    report = judge(nn.BatchNorm1d, "G14")
    assert (report.level, report.outcome) == ("SHOULD", "fail")
    assert bnspec.certify(nn.BatchNorm1d, profile="smoke", clauses=["G14", "E1"]).conforms
    assert not bnspec.certify(nn.BatchNorm1d, profile="smoke", clauses=["G14", "E1"], strict=True).conforms


@pytest.mark.parametrize("right", [HandBackward, load_target("reference:torch").obj], ids=["kept", "assigned"])
def test_a_late_evaluation_can_be_answered(right: Any) -> None:
    dialect = getattr(right, "bnspec_dialect", "torch")
    assert judge(right, "G14", dialect=dialect).outcome == "pass"


def test_buffers_read_in_the_backward_are_refused() -> None:
    assert judge(BuffersReadAgain, "G14").outcome == "fail"


# ---- S6
class OneUpdateAStep(BatchNorm):
    """Until the first backward, later batches are not averaged in."""

    waits = False

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if not self.waits:
            super().update(x, mean, var)

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.training and y.requires_grad:
            self.waits = True
            y.register_hook(lambda _: setattr(self, "waits", False))  # type: ignore[no-untyped-call]  # untyped in torch
        return y


class UpdatesInBackward(BatchNorm):
    """The second of two updates waits for a backward."""

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if not mean.requires_grad:
            return super().update(x, mean, var)
        mean.register_hook(lambda _: super(UpdatesInBackward, self).update(x, mean, var))  # type: ignore[no-untyped-call]  # untyped in torch
        return None


@pytest.mark.parametrize(
    "wrong", [OneUpdateAStep, UpdatesInBackward, BatchRecognised], ids=lambda wrong: wrong.__name__
)
def test_two_uses_are_two_updates(wrong: Any) -> None:
    assert judge(wrong, "S6").outcome == "fail"


def test_the_same_input_object_shows_a_batch_that_is_recognised() -> None:
    assert "one input used twice" in judge_once(BatchRecognised, "S6").quantity


# ---- what is not promised
def test_layers_that_keep_one_forward_are_not_asked() -> None:
    target = load_target("reference:numpy").obj
    report = bnspec.certify(target, profile="smoke", dtypes=["float64"]).targets[0]
    assert {c.id for c in report.clauses if "does not offer reentrance" in (c.why or "")} == {"G14", "S6"}
    left_out = bnspec.certify(nn.BatchNorm1d, profile="smoke", dtypes=["float64"], without=["reentrance"]).targets[0]
    assert left_out.verdict == "conforms"
    assert left_out.clause("G14").why == "left out: without reentrance"
