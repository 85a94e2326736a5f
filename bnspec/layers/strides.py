"""Copies that lie in memory as their originals do."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bnspec.layers.protocol import Array


class Laid(NamedTuple):
    """A fresh flat buffer and where the array lies in it: strides and offset count elements."""

    buffer: Array
    strides: tuple[int, ...]
    offset: int


def lies_plainly(values: Array) -> bool:
    """Is it a whole buffer in row-major order? Axes of length one count too: their strides may be anything."""
    return values.flags.owndata and values.strides == _row_major(values)


def copy_layout(values: Array) -> Laid:
    """The values in a buffer of their own, with the strides and the offset they have in theirs.

    Places of the buffer that belong to no value hold NaN, so that a read past the strides shows. Negative strides,
    which torch does not have, strides that split an element, and empty arrays become row-major.
    """
    size = values.itemsize
    if not values.size or any(stride < 0 or stride % size for stride in values.strides):
        return Laid(np.array(values, order="C").reshape(-1), tuple(s // size for s in _row_major(values)), 0)
    strides = tuple(stride // size for stride in values.strides)
    offset = _find_offset(values)
    reach = offset + 1 + sum((n - 1) * stride for n, stride in zip(values.shape, strides, strict=True))
    length = max(reach, values.base.size if isinstance(values.base, np.ndarray) else 0)
    buffer = np.full(length, 0 if values.dtype.kind in "biu" else np.nan, values.dtype)
    # Bytes, because bfloat16 cannot be shared as a buffer of its own kind.
    view: Array = np.ndarray(values.shape, values.dtype, buffer.view(np.uint8).data, offset * size, values.strides)
    view[...] = values
    return Laid(buffer, strides, offset)


def _row_major(values: Array) -> tuple[int, ...]:
    strides, step = [], values.itemsize
    for n in reversed(values.shape):
        strides.append(step)
        step *= max(n, 1)
    return tuple(reversed(strides))


def _find_offset(values: Array) -> int:
    """Elements between the start of the buffer that a view was taken of and the view."""
    if not isinstance(values.base, np.ndarray):
        return 0
    start = int(np.lib.array_utils.byte_bounds(values.base)[0])
    return (int(values.__array_interface__["data"][0]) - start) // values.itemsize
