"""Values on a grid: whole multiples of a power of two, so that a few sums and products of them are exact."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.spec.formats import Format

Floats = NDArray[np.float64]

WIDEST = 8.0
"""The factor, or its inverse, by which values on the grid may be scaled and stay within their format."""


def power_below(values: Any) -> Floats:
    """The largest power of two that is not above each value; values are positive."""
    return np.asarray(np.ldexp(0.5, np.frexp(values)[1]))


def put_on_grid(x: Floats, storage: Format, quantum: Floats | float = 0.0) -> tuple[Floats, Floats]:
    """Round channel-major values (C, m) to whole multiples of a quantum (C, 1) of their channel, and give both.

    The quantum is the given one, a power of two, or the least at which |x| is at most 2**(precision - 3) of them: sums
    of two values, and such sums times a power of two from 1/WIDEST to WIDEST, are exact in the storage format.
    """
    top = 2.0 ** (storage.emax - 5)  # a quarter of what WIDEST leaves
    x = np.clip(x, -top, top)
    largest = np.maximum(np.abs(x).max(axis=1, keepdims=True), storage.smallest_subnormal)
    least = power_below(largest) * 2.0 ** (4 - storage.precision)
    quantum = np.maximum(np.maximum(quantum, least), WIDEST * storage.smallest_subnormal)
    return np.round(x / quantum) * quantum, quantum


def draw_steps(random: np.random.RandomState, storage: Format, channels: int) -> Floats:
    """A whole number of quanta a channel (C, 1), of either sign, that may be added to values on the grid."""
    most = 2.0 ** (storage.precision - 3)
    return np.asarray(np.round(random.uniform(-most, most, (channels, 1))))
