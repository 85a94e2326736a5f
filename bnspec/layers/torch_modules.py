"""Layers with the attributes of torch.nn.BatchNorm1d, 2d and 3d, whatever they are made of."""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from bnspec.layers.adapter import Adapter, Names
from bnspec.layers.modes import Mode
from bnspec.layers.torch_lifecycle import OBJECT_ABILITIES, ObjectLayer, find_lifecycle
from bnspec.layers.torch_tensors import LOW, TORCH

NAMES = Names("weight", "bias", "running_mean", "running_var", "num_batches_tracked")

# The ranks that torch's classes check for, and so their subclasses.
RANKS: tuple[tuple[type, tuple[int, ...]], ...] = (
    (nn.BatchNorm1d, (2, 3)),
    (nn.BatchNorm2d, (4,)),
    (nn.BatchNorm3d, (5,)),
)


def _find_ranks(subject: Any) -> tuple[int, ...] | None:
    return next((ranks for kind, ranks in RANKS if isinstance(subject, kind)), None)


def _is_torchs_own(subject: Any) -> bool:
    return isinstance(subject, _BatchNorm)


def _make_layer(subject: Any, device: str, mode: Mode) -> ObjectLayer:
    return ObjectLayer(subject, NAMES, device, mode)


ADAPTER = Adapter(
    framework=TORCH,
    names=NAMES,
    dialect="torch",
    dtypes=("float32", "float64"),
    probed_dtypes=(),
    low_dtypes=LOW,
    devices=("cpu", "cuda"),
    ranks=_find_ranks,
    cumulative=_is_torchs_own,
    abilities=OBJECT_ABILITIES,
    lifecycle=find_lifecycle,
    methods={},
    make_layer=_make_layer,
)
