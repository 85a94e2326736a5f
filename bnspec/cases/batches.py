"""From a case to its arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.case import Case
from bnspec.cases.fills import FILLS, cast, fill_parameters, fill_upstream, format_of
from bnspec.cases.layouts import from_channel_major, lay_out
from bnspec.layers.protocol import State, as_dtype

Array = NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """x and the upstream gradient dy, shape (N, C, D1, ...), in the case's dtype and layouts."""

    x: Array
    dy: Array


def make_batch(case: Case, stream: str = "batch", *, shape: tuple[int, ...] | None = None) -> Batch:
    """The batch of a case. Another `stream` gives another batch of the same kind; `shape` another size of it."""
    shape = shape or case.shape
    random, dtype = case.random(stream), as_dtype(case.dtype)
    channels, count = shape[1], int(np.prod(shape)) // shape[1]
    if case.values and stream == "batch":
        x = np.resize(np.array(case.values, dtype=np.float64), (channels, count))
    else:
        x = FILLS[case.fill](random, channels, count, case.eps, format_of(case.dtype))
    x = cast(x, dtype)
    dy = cast(fill_upstream(random, case.upstream, x.astype(np.float64)), dtype)
    return Batch(
        lay_out(from_channel_major(x, shape), case.layout), lay_out(from_channel_major(dy, shape), case.upstream_layout)
    )


def make_state(
    case: Case, stream: str = "state", *, batches: int | None = None, x: NDArray[np.float64] | None = None
) -> State:
    """Parameters and buffers away from their defaults, at the scale of the case's batch, or of x (C, m)."""
    dtype = as_dtype(case.dtype)
    if x is None:
        x = FILLS[case.fill](case.random("batch"), case.channels, case.count, case.eps, format_of(case.dtype))
    p = fill_parameters(case.random(stream), x)
    # A plain average can be told its count by a layer that has a counter alone: it starts anew.
    start = case.seed % 101 if case.seed % 2 and case.momentum is not None else 0
    return State(
        cast(p.gamma, dtype),
        cast(p.beta, dtype),
        cast(p.running_mean, dtype),
        cast(p.running_var, dtype),
        start if batches is None else batches,
    )
