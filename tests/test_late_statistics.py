"""Layers whose running statistics are made by the first batch: it is judged like any other."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor

import bnspec
from bnspec.certificate.model import TargetReport
from bnspec.engine.plan import UsageError
from bnspec.identification.identity import identify
from bnspec.layers.target import load_target

if TYPE_CHECKING:
    from tests.targets.unusual_layers import ShapedByFirstBatch as FromZeroAndOne
else:
    FromZeroAndOne = load_target(f"{Path(__file__).parent}/targets/unusual_layers.py:ShapedByFirstBatch").obj


class FromMillions(FromZeroAndOne):
    """The first batch makes the buffers of something else, and is dropped."""

    def learn(self, mean: Tensor, var: Tensor, m: int) -> None:
        if self.running_mean is None:
            self.running_mean, self.running_var = torch.full_like(mean, 1e6), torch.full_like(var, 1e6)
        else:
            super().learn(mean, var, m)


class FirstCopied(FromZeroAndOne):
    """The first batch is taken as it is."""

    def learn(self, mean: Tensor, var: Tensor, m: int) -> None:
        if self.running_mean is None:
            self.running_mean, self.running_var = mean, var * (m / (m - 1))
        else:
            super().learn(mean, var, m)


class FromZeros(FromZeroAndOne):
    """The running variance begins at 0 too, as in a well-known course."""

    def learn(self, mean: Tensor, var: Tensor, m: int) -> None:
        if self.running_mean is None:
            self.running_mean, self.running_var = torch.zeros_like(mean), torch.zeros_like(var)
        super().learn(mean, var, m)


class OfImages(FromZeroAndOne):
    """Of rank 4 alone."""

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4:
            raise ValueError("images are wanted")
        return super().forward(x)


class Biased(OfImages):
    """What it stores is the biased variance."""

    def learn(self, mean: Tensor, var: Tensor, m: int) -> None:
        super().learn(mean, var * (m - 1) / m, m)


class AdoptsEvaluation(FromZeroAndOne):
    """An evaluation before the first batch leaves its statistics."""

    def forward(self, x: Tensor) -> Tensor:
        if not self.training and self.running_mean is None:
            axes = [0, *range(2, x.ndim)]
            self.running_mean, self.running_var = x.mean(axes, keepdim=True), x.var(axes, keepdim=True)
        return super().forward(x)


def judge(obj: Any, **options: Any) -> TargetReport:
    return bnspec.certify(obj, **{"profile": "smoke", "dtypes": ["float32"], **options}).targets[0]


def test_a_first_batch_that_is_blended_into_0_and_1_conforms_and_was_judged() -> None:
    report = judge(FromZeroAndOne)
    assert report.verdict == "conforms"
    alone = judge(FromZeroAndOne, clauses=["R2"], without=["late_statistics"])
    assert report.clause("R2").executed > alone.clause("R2").executed
    assert report.clause("R1").outcome == "skip"  # there are no buffers to read before


@pytest.mark.parametrize("wrong", [FromMillions, FirstCopied, FromZeros, AdoptsEvaluation])
def test_a_wrong_first_batch_is_refused(wrong: type) -> None:
    report = judge(wrong)
    assert [clause.id for clause in report.clauses if clause.outcome in ("fail", "crashed")] == ["R2"]


@pytest.mark.parametrize("layer", [OfImages, OfImages(5), FromZeroAndOne(1)])
def test_they_are_found_whatever_batches_and_channels_a_layer_takes(layer: Any) -> None:
    report = judge(layer)
    assert report.verdict == "conforms"
    assert "late_statistics" in report.scope["abilities"]  # type: ignore[operator]  # a list of names
    assert "R2" in {clause.id for clause in judge(Biased).clauses if clause.outcome == "fail"}


@pytest.mark.parametrize(
    ("layer", "average", "initial"),
    [(FromZeroAndOne, "plain", (0.0, 1.0)), (FromZeros, "plain", (0.0, 0.0)), (FirstCopied, "first copied", None)],
)
def test_what_the_first_batch_meets_is_told(layer: type, average: str, initial: tuple[float, float] | None) -> None:
    answers = identify(layer).answers
    assert answers["average"].value == average
    assert (answers["initial_mean"].value, answers["initial_var"].value) == (initial or (None, None))


def test_what_no_buffer_holds_cannot_be_given_to_such_a_layer() -> None:
    with pytest.raises(UsageError, match="makes its buffers with the first batch"):
        judge(FromZeroAndOne, dialect="haiku")
