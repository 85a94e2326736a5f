"""How an array lies in memory. A layout keeps every value and changes the strides.

Only axes longer than one are moved about: what stride an axis of length one carries is a matter of its own (L7), on
which shipped layers differ.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def _contiguous(a: Array) -> Array:
    return a.copy(order="C")  # a copy, whose strides are canonical on axes of length one too


def _transposed(a: Array) -> Array:
    """The first axis runs fastest."""
    return np.asfortranarray(a)


def _channels_last(a: Array) -> Array:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1)


def _strided(a: Array) -> Array:
    """Every second place of a buffer twice as long."""
    buffer = np.zeros((*a.shape[:-1], 2 * a.shape[-1]), a.dtype)
    buffer[..., ::2] = a
    return buffer[..., ::2]


def _sliced(a: Array) -> Array:
    """The inside of a larger array: an offset, and gaps between rows."""
    buffer = np.zeros(tuple(n + 2 for n in a.shape), a.dtype)
    inside = tuple(slice(1, n + 1) for n in a.shape)
    buffer[inside] = a
    return buffer[inside]


def _offset(a: Array) -> Array:
    """Contiguous, and not at the start of its memory: the rest of a batch without its first example."""
    buffer = np.zeros((a.shape[0] + 1, *a.shape[1:]), a.dtype)
    buffer[1:] = a
    return buffer[1:]


def _channels_last_sliced(a: Array) -> Array:
    """A crop of a larger batch that has the channel innermost."""
    return np.moveaxis(_sliced(np.ascontiguousarray(np.moveaxis(a, 1, -1))), -1, 1)


def _read_only(a: Array) -> Array:
    copied = _contiguous(a)
    copied.flags.writeable = False
    return copied


def _expanded(a: Array) -> Array:
    """Stored once for all channels, which hold the same values: stride 0."""
    return np.broadcast_to(_contiguous(a[:, :1]), a.shape)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": _contiguous,
    "transposed": _transposed,
    "channels_last": _channels_last,
    "strided": _strided,
    "sliced": _sliced,
    "offset": _offset,
    "channels_last_sliced": _channels_last_sliced,
    "read_only": _read_only,
    "expanded": _expanded,
}
SAME_IN_ALL_CHANNELS = "expanded"
"""The layout whose batches must hold the same values in every channel."""


def lay_out(a: Array, layout: str) -> Array:
    """The same values under another layout; contiguous where it cannot hold them, or an axis has length one or none."""
    if min(a.shape) < 2 or (layout == SAME_IN_ALL_CHANNELS and (a != a[:, :1]).any()):
        return _contiguous(a)
    return LAYOUTS[layout](a)


def channel_major(a: Array) -> Array:
    """(N, C, D1, ...) -> (C, m)."""
    return np.ascontiguousarray(np.moveaxis(a, 1, 0)).reshape(a.shape[1], -1)


def from_channel_major(a: Array, shape: tuple[int, ...]) -> Array:
    """(C, m) -> (N, C, D1, ...), contiguous."""
    moved = a.reshape((shape[1], shape[0], *shape[2:]))
    return np.ascontiguousarray(np.moveaxis(moved, 0, 1))
