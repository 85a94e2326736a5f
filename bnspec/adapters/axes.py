"""Batches cross with the channel on axis 1; many frameworks have it last."""

from __future__ import annotations

from typing import Any

import numpy as np

from bnspec.layers.protocol import Array


def to_last(x: Array) -> Array:
    """(N, C, ...) as (N, ..., C)."""
    return np.ascontiguousarray(np.moveaxis(x, 1, -1))


def from_last(y: Any) -> Array:
    """(N, ..., C) as (N, C, ...), of whatever NumPy takes for an array."""
    return np.moveaxis(np.asarray(y), -1, 1)
