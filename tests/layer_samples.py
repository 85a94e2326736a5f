"""Layers to be driven through their adapters, the structure they are made with, and batches and states for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from bnspec.layers.implementation import resolve
from bnspec.layers.protocol import Array, Layer, State, Structure, as_dtype
from bnspec.layers.target import load_target


def sample(name: str) -> Any:
    """An object of the files beside this one, by "file:attribute"."""
    return load_target(f"{Path(__file__).parent / 'targets' / name}").obj


SEED, REFERENCE, TEACHING = (load_target(f"reference:{name}").obj for name in ("seed", "torch", "numpy"))
PlainTorch = sample("right_layers.py:PlainTorch")
Spy, NumpySpy, SEEN = (sample(f"spying_layers.py:{name}") for name in ("Spy", "NumpySpy", "SEEN"))
OPEN = Structure(channels=3, rank=2, dtype="float64", device="cpu", eps=1e-3, momentum=0.25)


def batch(*shape: int, dtype: str = "float64", seed: int = 0) -> Array:
    return np.random.RandomState(seed).standard_normal(shape).astype(as_dtype(dtype))


def some_state(dtype: str = "float64") -> State:
    values = np.array([[2, -3, 0.5], [1, 0, -1], [0.25, 4, -2], [0.5, 3, 2]]).astype(as_dtype(dtype))
    return State(*values)


def make(subject: Any, structure: Structure = OPEN, **arguments: Any) -> Layer:
    return resolve(subject, arguments).make(structure)
