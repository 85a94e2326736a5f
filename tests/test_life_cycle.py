"""What happens to layers between their passes: wrong ones are refused by the clause that names them."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from bnspec.reference.numpy_batchnorm import BatchNorm as Teaching
from torch import Tensor, nn

import bnspec
from bnspec.certificate.model import ClauseReport
from bnspec.layers.implementation import resolve
from bnspec.layers.protocol import ALL, State, Structure
from bnspec.layers.target import load_target
from bnspec.mutants.table import RIGHT_LAYERS, RightLayer
from bnspec.mutants.torch_base import BatchNorm
from bnspec.mutants.torch_modules import BuffersShared, CountsEvaluations, GraphKept, TwiceWhenRecording
from tests.lifecycle_layers import (
    CopyShares,
    CounterUnsaved,
    NeverThawed,
    OutputReused,
    ResetKeepsCount,
    VarianceLeftBehind,
)

TARGETS = Path(__file__).parent / "targets"
SEEDS = range(5)
CLAUSES = ("E8", "R9", "R12", "S1", "S2", "S3", "S4")
RIGHT: dict[str, tuple[str, dict[str, Any], str, set[str]]] = {
    "1d": ("torch.nn:BatchNorm1d", {}, "torch", set()),
    "2d": ("torch.nn:BatchNorm2d", {}, "torch", set()),
    "3d": ("torch.nn:BatchNorm3d", {}, "torch", set()),
    "sync": ("torch.nn:SyncBatchNorm", {}, "torch", set()),
    "without affine": ("torch.nn:BatchNorm1d", {"affine": False}, "torch", set()),
    "plain average": ("torch.nn:BatchNorm1d", {"momentum": None}, "torch", set()),
    "eps and momentum fixed": ("torch.nn:BatchNorm2d", {"eps": 0.01, "momentum": 0.25}, "torch", set()),
    "function": ("torch.nn.functional:batch_norm", {}, "torch", {"R9", "R12", "S1", "S2", "S3"}),
    "numpy": ("reference:numpy", {}, "torch", {"R12", "S1", "S3"}),
    "reference": ("reference:torch", {}, "makemore", {"R12", "S1", "S3"}),
    "reference, biased": ("reference:torch", {"unbiased": False}, "torch", {"R12", "S1", "S3"}),
    "plain": (f"{TARGETS}/right_layers.py:PlainTorch", {}, "torch", {"R12", "S1", "S3"}),
    "frozen": (f"{TARGETS}/frozen_layers.py:Frozen", {}, "timm-frozen", {"R12"}),
}
"""Target, arguments, dialect, and the clauses that the target does not offer what they need."""


def judge(obj: Any, clause: str, **options: Any) -> ClauseReport:
    options = {"profile": "smoke", "clauses": [clause], "dialect": "torch", **options}
    return bnspec.certify(obj, **options).targets[0].clause(clause)


def refused(obj: Any, clause: str, **options: Any) -> bool:
    return judge(obj, clause, **options).outcome in ("fail", "crashed")


def outcomes(obj: Any, seed: int, **options: Any) -> dict[str, str]:
    report = bnspec.certify(obj, profile="smoke", clauses=CLAUSES, seed=seed, **options).targets[0]
    return {clause: report.clause(clause).outcome for clause in CLAUSES}


@pytest.mark.parametrize("name", RIGHT)
def test_right_layers_pass(name: str) -> None:
    target, arguments, dialect, skipped = RIGHT[name]
    for seed in SEEDS:
        dtypes = [("float32", "float64")[seed % 2]]
        found = outcomes(load_target(target).obj, seed, dialect=dialect, arguments=arguments, dtypes=dtypes)
        assert found == {clause: "skip" if clause in skipped else "pass" for clause in CLAUSES}


@pytest.mark.parametrize("layer", RIGHT_LAYERS, ids=lambda layer: layer.id)
def test_right_layers_by_other_roads_pass(layer: RightLayer) -> None:
    for seed in SEEDS[:2]:
        dtypes = [("float32", "float64")[seed % 2]]
        found = outcomes(load_target(layer.target).obj, seed, dialect=layer.dialect, dtypes=dtypes)
        assert set(found.values()) <= {"pass", "skip"}, layer.how


def test_an_instance_is_judged_by_its_copies() -> None:
    instance = nn.BatchNorm1d(3, momentum=0.25)
    instance(torch.randn(4, 3))
    found = outcomes(instance, 0)
    assert found == {clause: "skip" if clause == "R9" else "pass" for clause in CLAUSES}


def test_what_is_fixed_outside_of_a_format_is_not_converted() -> None:
    report = bnspec.certify(nn.BatchNorm1d, profile="smoke", arguments={"eps": 1e-60}, dtypes=["float64"]).targets[0]
    assert report.verdict == "conforms"
    assert report.clause("S3").outcome == "skip"


def test_layers_of_one_dtype_are_not_converted() -> None:
    class Single(nn.BatchNorm1d):
        bnspec_dtypes = ("float32",)

    report = bnspec.certify(Single, profile="smoke").targets[0]
    assert report.verdict == "conforms"
    assert report.clause("S3").outcome == "skip"


# ---- S1
class SaveForgetsVariance(nn.BatchNorm1d):
    def state_dict(self, *args: Any, **options: Any) -> Any:
        saved = super().state_dict(*args, **options)
        saved["running_var"] = torch.ones_like(saved["running_var"])
        return saved


class RestoreClears(nn.BatchNorm1d):
    """A restore begins with a reset, whatever comes."""

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        self.reset_running_stats()
        return super().load_state_dict(state_dict, strict, assign)


class FoldedAtFirst(BatchNorm):
    """Evaluation reads buffers that were copied at its first call or when training wrote to them."""

    folded: tuple[Tensor, Tensor] | None = None

    def evaluate(self, x: Tensor) -> Tensor:
        if self.folded is None:
            self.folded = self.running_mean.clone(), self.running_var.clone()
        return self.transform(x, self.folded[0].to(x.dtype), self.folded[1].to(x.dtype), coupled=False)

    def blend(self, name: str, value: Tensor, weight: float) -> None:
        super().blend(name, value, weight)
        self.folded = None


@pytest.mark.parametrize(
    "wrong", [CounterUnsaved, VarianceLeftBehind, SaveForgetsVariance, RestoreClears, FoldedAtFirst]
)
def test_a_save_is_everything(wrong: Any) -> None:
    assert refused(wrong, "S1")


def test_what_is_wrong_with_a_save_is_said() -> None:
    assert "number of batches after a restore" in (judge(CounterUnsaved, "S1").why or "")
    assert "after a restore of nothing" in (judge(RestoreClears, "S1").why or "")
    assert "y after a restore" in (judge(FoldedAtFirst, "S1").why or "")


# ---- S2
class CopyOfBuffersOnly(BatchNorm):
    """The copy computes with the parameters of its original."""

    def __deepcopy__(self, memo: dict[int, Any]) -> CopyOfBuffersOnly:
        twin = copy.copy(self)
        twin._buffers = copy.deepcopy(self._buffers, memo)
        return twin


class TeachingShares(Teaching):  # type: ignore[misc]  # see pyproject.toml: mypy checks it by another name
    """Copies share the object that holds the running mean."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.held: list[Any] = [None]
        super().__init__(*args, **options)

    def __deepcopy__(self, memo: dict[int, Any]) -> TeachingShares:
        return copy.copy(self)

    @property
    def running_mean(self) -> Any:
        return self.held[0]

    @running_mean.setter
    def running_mean(self, value: Any) -> None:
        self.held[0] = value


class TeachingSharesArray(Teaching):  # type: ignore[misc]  # as above
    """Copies share the running mean, which training writes into; whoever assigns another ends that, as a load does."""

    def __deepcopy__(self, memo: dict[int, Any]) -> TeachingSharesArray:
        twin = copy.copy(self)
        twin.__dict__ |= {name: copy.deepcopy(value, memo) for name, value in vars(self).items() if name != "held"}
        return twin

    @property
    def running_mean(self) -> Any:
        return self.held

    @running_mean.setter
    def running_mean(self, value: Any) -> None:
        self.held = np.array(value)

    def _update(self, *statistics: Any) -> None:
        held = self.held
        super()._update(*statistics)
        held[:] = self.held
        self.held = held


@pytest.mark.parametrize("wrong", [CopyShares, GraphKept, CopyOfBuffersOnly, TeachingShares, TeachingSharesArray])
def test_copies_share_nothing(wrong: Any) -> None:
    assert refused(wrong, "S2")


def test_copies_of_numpy_layers_share_nothing() -> None:
    structure = Structure(3, 2, "float64", "cpu", 0.1, 0.3)
    layer: Any = resolve(Teaching).make(structure)
    layer.run(np.arange(12.0).reshape(4, 3), training=True, grad=ALL)
    twin, before = layer.copy(), layer.state()
    twin.load(State(np.full(3, 7.0), np.full(3, 7.0), np.full(3, 7.0), np.full(3, 7.0), 7))
    assert np.array_equal(layer.state().running_mean, before.running_mean)


# ---- S3
class StaysSingle(nn.BatchNorm1d):
    """The buffers are float32 whatever the layer is converted to."""

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        kept = dict(self._buffers)
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # untyped in torch
        self._buffers.update(kept)
        return self


class RoundedOnTheWay(nn.BatchNorm1d):
    """A conversion goes by bfloat16."""

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        with torch.no_grad():
            for buffer in (self.running_mean, self.running_var):
                if buffer is not None:
                    buffer.copy_(buffer.bfloat16())
        return super()._apply(fn, recurse)  # type: ignore[no-untyped-call]  # untyped in torch


@pytest.mark.parametrize("wrong", [VarianceLeftBehind, StaysSingle, RoundedOnTheWay])
def test_a_conversion_moves_everything(wrong: Any) -> None:
    assert refused(wrong, "S3", dtypes=["float32"])


# ---- S4
class FoldsInEval(nn.BatchNorm1d):
    """eval() folds eps into the variance, train() takes it out again; both believe that they are called in turn."""

    def train(self, mode: bool = True) -> FoldsInEval:
        if self.running_var is not None and (mode != self.training or not mode):
            self.running_var += self.eps if mode else -self.eps
        return super().train(mode)


class Alternates(nn.BatchNorm1d):
    """train() and eval() flip the mode."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        self.calls = getattr(self, "calls", 0) + self.training
        training = self.training and self.calls % 4 != 3
        buffers = self.running_mean, self.running_var
        if training:
            return super().forward(input)
        return F.batch_norm(input, *buffers, self.weight, self.bias, False, 0.0, self.eps)


class ParametersFreeze(BatchNorm):
    """Buffers stay from the first pass on in which the parameters needed no gradient."""

    frozen = False

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        assert self.weight is not None
        self.frozen = self.frozen or (torch.is_grad_enabled() and not self.weight.requires_grad)
        if not self.frozen:
            super().update(x, mean, var)

    def on_batch(self, x: Tensor) -> Tensor:
        assert self.weight is not None
        self.frozen = self.frozen or not self.weight.requires_grad
        return super().on_batch(x)


@pytest.mark.parametrize("wrong", [NeverThawed, FoldsInEval, Alternates, ParametersFreeze])
def test_modes_are_no_history(wrong: Any) -> None:
    assert refused(wrong, "S4")


# ---- E8
class TeachingReuses(Teaching):  # type: ignore[misc]  # see pyproject.toml: mypy checks it by another name
    outputs: ClassVar[dict[Any, Any]] = {}

    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        kept = self.outputs.setdefault((y.shape, y.dtype), y)
        kept[...] = y
        return kept


@pytest.mark.parametrize("wrong", [OutputReused, TeachingReuses])
def test_outputs_stay(wrong: Any) -> None:
    assert refused(wrong, "E8")


# ---- R7, R9, R11, R12
class CountsRecorded(nn.BatchNorm1d):
    """Without recording, a batch is averaged in and not counted."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  (torch's name)
        y = super().forward(input)
        if self.training and not torch.is_grad_enabled() and self.num_batches_tracked is not None:
            self.num_batches_tracked -= 1
        return y


class ResetLeavesMean(nn.BatchNorm1d):
    def reset_running_stats(self) -> None:
        mean = None if self.running_mean is None else self.running_mean.clone()
        super().reset_running_stats()
        if mean is not None:
            self.running_mean = mean


class ResetsParameters(nn.BatchNorm1d):
    """A reset takes gamma and beta along."""

    def reset_running_stats(self) -> None:
        super().reset_running_stats()
        if self.weight is not None:
            nn.init.ones_(self.weight)


def shares_one_size(num_features: int, eps: float = 1e-5, momentum: float = 0.1) -> Any:
    """Layers that all average into the buffers of the first one of their size."""
    layer = nn.BatchNorm1d(num_features, eps, momentum)
    layer.running_mean, layer.running_var = POOL.setdefault(num_features, (layer.running_mean, layer.running_var))
    return layer


POOL: dict[int, Any] = {}


@pytest.mark.parametrize(
    ("wrong", "clause"),
    [
        (TwiceWhenRecording, "R7"),
        (BuffersShared, "R9"),
        (shares_one_size, "R9"),
        (CountsEvaluations, "R11"),
        (CountsRecorded, "R11"),
        (ResetKeepsCount, "R12"),
        (ResetLeavesMean, "R12"),
        (ResetsParameters, "R12"),
    ],
)
def test_updates_counts_and_resets(wrong: Any, clause: str) -> None:
    assert refused(wrong, clause)


def test_an_ability_can_be_left_out() -> None:
    for ability, clauses in {"saves": {"S1"}, "copies": {"S2"}, "converts": {"S3"}, "resets": {"R12"}}.items():
        report = bnspec.certify(nn.BatchNorm1d, profile="smoke", clauses=["R9", *clauses], without=[ability]).targets[0]
        assert {c.id for c in report.clauses if c.why == f"left out: without {ability}"} == clauses
