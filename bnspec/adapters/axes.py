"""Batches cross with the channel on axis 1; many frameworks have it last."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bnspec.layers.protocol import Array

Backward = Callable[[Array], tuple[Array, Array | None, Array | None]]
"""From dy to dx, dgamma and dbeta, the channel on axis 1."""


def to_last(x: Array) -> Array:
    """(N, C, ...) as (N, ..., C)."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def from_last(y: Any) -> Array:
    """(N, ..., C) as (N, C, ...), of whatever NumPy takes for an array."""
    return np.moveaxis(np.asarray(y), -1, 1)
