"""From a case to its arrays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.case import Case
from bnspec.cases.fills import FILLS, PARAMETERS, cast, fill_parameters, fill_upstream, fit, fit_upstream
from bnspec.cases.layouts import channel_major, from_channel_major, lay_out, repeat
from bnspec.layers.protocol import State, as_dtype

Array = NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """x and the upstream gradient dy, shape (N, C, D1, ...), in the case's dtype and layouts."""

    x: Array
    dy: Array


def dtype_of(case: Case) -> np.dtype[Any]:
    """The NumPy dtype of x and its gradients."""
    return as_dtype(case.precision.storage.name)


def make_batch(case: Case, stream: str = "batch", *, shape: tuple[int, ...] | None = None) -> Batch:
    """The batch of a case. Another `stream` gives another batch of the same kind; `shape` another size of it."""
    shape = shape or case.shape
    random, dtype = case.random(stream), dtype_of(case)
    channels, count = shape[1], int(np.prod(shape)) // shape[1]
    if case.values and stream == "batch":
        x = np.resize(np.array(case.values, dtype=np.float64), (channels, count))
    else:
        x = _fill(case, random, channels, count)
    x = repeat(from_channel_major(cast(x, dtype), shape), case.layout)
    dy = fill_upstream(random, case.upstream, channel_major(x).astype(np.float64))
    if case.precision.is_low:
        dy = fit_upstream(dy, case.precision)
    dy = repeat(from_channel_major(cast(dy, dtype), shape), case.upstream_layout)
    return Batch(lay_out(x, case.layout), lay_out(dy, case.upstream_layout))


def make_state(
    case: Case, stream: str = "state", *, batches: int | None = None, x: NDArray[np.float64] | None = None
) -> State:
    """Parameters and buffers away from their defaults, at the scale of the case's batch, or of x (C, m)."""
    dtype = as_dtype(case.precision.parameters.name)
    if x is None:
        x = _fill_batch(case)
    p = PARAMETERS[case.parameters](fill_parameters(case.random(stream), x))
    # A plain average can be told its count by a layer that has a counter alone: it starts anew.
    start = case.seed % 101 if case.seed % 2 and case.momentum is not None else 0
    return State(
        cast(p.gamma, dtype),
        cast(p.beta, dtype),
        cast(p.running_mean, dtype),
        cast(p.running_var, dtype),
        start if batches is None else batches,
    )


def _fill(case: Case, random: np.random.RandomState, channels: int, count: int) -> NDArray[np.float64]:
    x = FILLS[case.fill](random, channels, count, case.eps, case.precision.storage)
    return fit(x, case.precision) if case.precision.is_low else x


@lru_cache(maxsize=1)
def _fill_batch(case: Case) -> NDArray[np.float64]:
    """The values of the first batch, to whose scale parameters and buffers are made, however often."""
    return _fill(case, case.random("batch"), case.channels, case.count)
