"""N6: NaN and infinity stay where they are, and neither is lost."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import bnspec
from bnspec.layers.target import load_target
from bnspec.mutants.numpy_base import Array, BatchNorm, Cache
from bnspec.mutants.torch_base import HandBackward, Kept

RIGHT: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("torch.nn:BatchNorm1d", None, {}),
    ("torch.nn:BatchNorm2d", None, {}),
    ("torch.nn:BatchNorm3d", None, {}),
    ("torch.nn.functional:batch_norm", None, {}),
    ("reference:numpy", None, {}),
    ("reference:torch", None, {}),
    ("reference:torch", "torch", {"unbiased": False}),
)


def certify_n6(obj: Any, **options: Any) -> Any:
    return bnspec.certify(obj, profile="smoke", clauses=["N6"], **options)


@pytest.mark.parametrize(("target", "dialect", "arguments"), RIGHT)
@pytest.mark.parametrize("seed", range(3))
def test_right_layers_pass(target: str, dialect: str | None, arguments: dict[str, Any], seed: int) -> None:
    certificate = certify_n6(load_target(target).obj, dialect=dialect, arguments=arguments, seed=seed)
    assert certificate.conforms, str(certificate)


class VarianceByMaximum(BatchNorm):
    """fmax returns the number where the other is NaN: the variance of a spoilt channel is stored as 0.

    Its running mean is NaN all the same, so that nothing is hidden, and IEEE 754's maximum does so.
    """

    def statistics(self, values: Array) -> tuple[Array, Array]:
        mean, var = super().statistics(values)
        return mean, np.fmax(var, np.zeros_like(var))


class BuffersByMaximum(VarianceByMaximum):
    """The mean of a spoilt channel is stored as 0 as well."""

    def update(self, mean: Array, var: Array, m: int) -> None:
        super().update(np.nan_to_num(mean, posinf=0, neginf=0), np.nan_to_num(var, posinf=0, neginf=0), m)


class SpillsInEvaluation(BatchNorm):
    def evaluation_statistics(self, values: Array) -> tuple[Array, Array]:
        mean, var = super().evaluation_statistics(values)
        return mean + 0 * values[:, 0], var


class DropsTheUpstreamNan(BatchNorm):
    def dx(self, g: Array, cache: Cache) -> Array:
        return np.nan_to_num(super().dx(g, cache))


class SumsOverChannels(HandBackward):
    """d_gamma by a product with a one-hot matrix: 0 times NaN is NaN in every other channel."""

    def dgamma(self, dy: torch.Tensor, kept: Kept) -> torch.Tensor:
        return torch.eye(dy.shape[1], dtype=dy.dtype) @ super().dgamma(dy, kept)


WRONG = {
    BuffersByMaximum: "running statistics of that channel",
    SpillsInEvaluation: "in evaluation",
    DropsTheUpstreamNan: "dx of that",
    SumsOverChannels: "at channel",
}


@pytest.mark.parametrize("layer", WRONG, ids=lambda layer: layer.__name__)
def test_wrong_layers_are_refused_by_this_clause(layer: type) -> None:
    report = certify_n6(layer, dialect="torch").targets[0]
    assert report.clause("N6").outcome == "fail"
    assert WRONG[layer] in (report.clause("N6").why or "")


def test_frozen_layers_and_what_is_left_out_pass() -> None:
    frozen = load_target("tests/targets/frozen_layers.py:Frozen").obj
    assert certify_n6(frozen, dialect="timm-frozen").conforms
    for without in (["gradients"], ["evaluation"], ["running_statistics"]):
        assert certify_n6(torch.nn.BatchNorm1d, without=without).conforms
    assert certify_n6(torch.nn.BatchNorm1d, arguments={"affine": False}).conforms
    for momentum in (0.0, 1.0, None):
        assert certify_n6(torch.nn.BatchNorm1d, arguments={"momentum": momentum}).conforms
