"""Layers of the seed's shape: gamma, beta, running_mean and running_var as torch tensors, callable, with a mode."""

from __future__ import annotations

from typing import Any

from bnspec.layers.adapter import Adapter, Names
from bnspec.layers.modes import Mode
from bnspec.layers.torch_lifecycle import OBJECT_ABILITIES, ObjectLayer, find_lifecycle
from bnspec.layers.torch_tensors import LOW, TORCH

NAMES = Names("gamma", "beta", "running_mean", "running_var", "batches")


def _make_layer(subject: Any, device: str, mode: Mode) -> ObjectLayer:
    return ObjectLayer(subject, NAMES, device, mode)


ADAPTER = Adapter(
    framework=TORCH,
    names=NAMES,
    dialect=None,  # the shape tells nothing about the conventions: the seed's are its own
    dtypes=("float32", "float64"),
    probed_dtypes=(),
    low_dtypes=LOW,
    devices=("cpu", "cuda"),
    ranks=lambda _: None,
    cumulative=lambda _: False,
    abilities=OBJECT_ABILITIES,
    lifecycle=find_lifecycle,
    methods={},
    make_layer=_make_layer,
)
