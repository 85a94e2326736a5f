"""Layers of the seed's shape: gamma, beta, running_mean and running_var as torch tensors, callable, with a mode."""

from __future__ import annotations

from typing import Any

from bnspec.layers.adapter import Adapter, Names
from bnspec.layers.torch_layer import TorchLayer, call_object
from bnspec.layers.torch_tensors import TORCH

NAMES = Names("gamma", "beta", "running_mean", "running_var", "batches")


def _make_layer(subject: Any, device: str) -> TorchLayer:
    return TorchLayer(subject, NAMES, device, call_object(subject))


ADAPTER = Adapter(
    framework=TORCH,
    names=NAMES,
    dialect=None,  # the shape tells nothing about the conventions: the seed's are its own
    dtypes=("float32", "float64"),
    probed_dtypes=(),
    devices=("cpu", "cuda"),
    ranks=lambda _: None,
    cumulative=lambda _: False,
    abilities=frozenset({"gradients", "gradient_subsets", "memory_formats"}),
    methods={},
    make_layer=_make_layer,
)
