"""What else is named batch norm in torch: certified under its own dialect, or listed with what it misses."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.ao.nn.intrinsic.qat import ConvBn2d
from torch.ao.quantization import QConfig
from torch.nn.utils import fuse_conv_bn_eval

import bnspec
from bnspec.adapters.torch_operators import adapt
from bnspec.layers.implementation import resolve
from tests.frameworks import missed

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/in-torch.md").read_text(encoding="utf-8")
OURS = "tests/targets/torch_relatives.py:"
UNCHECKED = frozenset({"B1", "B8"})
"""Operators and decompositions leave it to their callers to check sizes."""


@dataclass(frozen=True)
class Relative:
    """A target, how it is asked for, and the MUST clauses that it misses at smoke."""

    target: str
    dialect: str
    misses: frozenset[str] = frozenset()
    options: dict[str, Any] = field(default_factory=dict)


RELATIVES = (
    Relative("torch:native_batch_norm", "torch-native", UNCHECKED),
    Relative("torch:batch_norm", "torch-batch-norm"),
    Relative("torch:ops.aten._native_batch_norm_legit_functional", "torch-native", UNCHECKED),
    Relative(
        "torch._decomp.decompositions:native_batch_norm_helper",
        "torch-decomposition",
        UNCHECKED | {"B2", "B3"},
        {"arguments": {"functional": True}, "dialect": "torch-decomposition"},
    ),
    Relative("torch.nn:LazyBatchNorm1d", "torch"),
    Relative("torch.nn:LazyBatchNorm3d", "torch"),
    Relative("torch.nn:SyncBatchNorm", "torch"),
    Relative(f"{OURS}synchronised", "torch"),
    Relative(f"{OURS}scripted", "torch"),
    Relative(
        f"{OURS}replaced",
        "torch-functional-replacement",
        options={"dialect": "torch-functional-replacement", "without": ["running_statistics"]},
    ),
)


@pytest.mark.parametrize("relative", RELATIVES, ids=lambda r: r.target.rpartition(":")[2])
def test_it_is_certified_and_on_the_page(relative: Relative) -> None:
    report = bnspec.certify(relative.target, profile="smoke", dtypes=["float32", "float64"], **relative.options)
    target = report.targets[0]
    assert target.dialect == relative.dialect
    assert missed(target) == relative.misses, str(report)
    assert target.verdict == ("does not conform" if relative.misses else "conforms")
    assert f"`{relative.target}`" in PAGE


def test_a_lazy_layer_is_what_it_becomes_and_nothing_but_its_sizes_has_changed() -> None:
    factory = adapt(nn.LazyBatchNorm2d)
    layer = factory(3, eps=0.1, momentum=None)
    assert type(layer) is nn.BatchNorm2d
    assert layer.training
    assert (layer.eps, layer.momentum) == (0.1, None)
    found = {name: value.tolist() for name, value in layer.state_dict().items()}
    buffers = {"running_mean": [0.0] * 3, "running_var": [1.0] * 3, "num_batches_tracked": 0}
    assert found == {"weight": [1.0] * 3, "bias": [0.0] * 3, **buffers}


def quantised(channels: int) -> tuple[nn.Module, torch.Tensor]:
    """ConvBn2d of a convolution that changes nothing, and no rounding yet; with its gamma."""
    same = QConfig(activation=nn.Identity, weight=nn.Identity)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    layer = ConvBn2d(channels, channels, 1, bias=False, qconfig=same)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    layer.weight.data.copy_(torch.eye(channels)[:, :, None, None])
    return layer, layer.bn.weight.data


def test_a_quantised_convolution_draws_gamma_and_divides_by_it() -> None:
    (layer, gamma), x = quantised(2), torch.randn(3, 2, 2, 2)
    assert not torch.equal(gamma, torch.ones(2))
    gamma.copy_(torch.tensor([2.0, -0.5]))
    assert torch.allclose(layer(x), nn.functional.batch_norm(x, None, None, gamma, training=True), atol=1e-5)
    gamma.zero_()
    assert layer(x).isnan().all()


def test_a_batch_norm_that_is_folded_into_a_convolution_mixes_channels() -> None:
    same = nn.Conv2d(2, 2, 1, bias=False)
    same.weight.data.copy_(torch.eye(2)[:, :, None, None])
    fused = fuse_conv_bn_eval(same.eval(), nn.BatchNorm2d(2).eval())
    x = torch.zeros(3, 2, 1, 1)
    x[0, 0] = torch.nan
    assert fused(x)[0, 1].isnan().all()
    assert not nn.BatchNorm2d(2).eval()(x)[0, 1].isnan().any()


def test_what_is_no_batch_norm_of_torch_is_left_alone() -> None:
    assert adapt(torch.relu) is None
    assert adapt(torch.ops.aten.native_layer_norm) is None
    assert adapt(nn.BatchNorm1d) is None
    assert adapt(np.mean) is None


def test_an_operator_is_called_by_the_names_of_its_schema() -> None:
    understood = resolve(torch.native_batch_norm).understood
    assert "input as x" in understood
    assert "y is [0] of what is returned, and the running statistics are written in place" in understood
    functional = resolve(torch.ops.aten._native_batch_norm_legit_functional).understood
    assert "[3] the new running mean and [4] the new running variance" in functional
