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


def _prefix(a: Array) -> Array:
    """Contiguous, and other values follow in memory: the first examples of a larger batch."""
    buffer = np.zeros((a.shape[0] + 1, *a.shape[1:]), a.dtype)
    buffer[:-1] = a
    return buffer[:-1]


def _expanded(a: Array, axis: int) -> Array:
    """Stored once for all places along an axis, which hold the same values: stride 0."""
    return np.broadcast_to(_contiguous(a.take([0], axis)), a.shape)


LAYOUTS: dict[str, Callable[[Array], Array]] = {
    "contiguous": _contiguous,
    "transposed": _transposed,
    "channels_last": _channels_last,
    "strided": _strided,
    "sliced": _sliced,
    "offset": _offset,
    "channels_last_sliced": _channels_last_sliced,
    "read_only": _read_only,
    "prefix": _prefix,
    "expanded": lambda a: _expanded(a, 1),
    "expanded_batch": lambda a: _expanded(a, 0),
    "expanded_positions": lambda a: _expanded(a, -1),
}
REPEATED = {"expanded": 1, "expanded_batch": 0, "expanded_positions": -1}
"""The layouts whose batches hold the same values all along an axis, and which."""


def repeat(a: Array, layout: str) -> Array:
    """The batch with the same values all along an axis, where the layout asks for that."""
    if layout not in REPEATED:
        return a
    axis = REPEATED[layout]
    return np.repeat(a.take([0], axis), a.shape[axis], axis)


def lay_out(a: Array, layout: str) -> Array:
    """The same values under another layout; contiguous where it cannot hold them, or an axis has length one or none."""
    if min(a.shape) < 2 or (layout in REPEATED and (a != a.take([0], REPEATED[layout])).any()):
        return _contiguous(a)
    return LAYOUTS[layout](a)


def channel_major(a: Array) -> Array:
    """(N, C, D1, ...) -> (C, m)."""
    return np.ascontiguousarray(a.swapaxes(0, 1)).reshape(a.shape[1], -1)


def from_channel_major(a: Array, shape: tuple[int, ...]) -> Array:
    """(C, m) -> (N, C, D1, ...), contiguous."""
    moved = a.reshape((shape[1], shape[0], *shape[2:]))
    return np.ascontiguousarray(moved.swapaxes(0, 1))
