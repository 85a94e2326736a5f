"""Which values a wrong sum has missed, and in which places alone a wrong array is off."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bnspec.spec.precision import Arithmetic, Number

from .exact import Exact

Floats = NDArray[np.float64]
MOST = 260
"""Most values at the end, or at the start, that are tried as missing."""


def tell_missing(exact: Exact, quantity: str, observed: Floats, right: Floats, bound: Floats) -> str | None:
    """The values of each channel without which the sums behind a quantity come out as observed; None where none do.

    All arrays are float64, as words are at stake and no verdict.
    """
    arithmetic = exact.arithmetic
    x, g, xh = (_as_float64(arithmetic, each) for each in (exact.x, exact.g, exact.xh))
    near = 2 * bound + 1e-12 * np.abs(right)
    for kept, says in _parts(exact):
        for made in _with_part(exact, quantity, x, g, xh, kept):
            apart = np.abs(made - right)
            if np.isfinite(made).all() and (apart > 10 * near).any() and (np.abs(observed - made) <= near).all():
                return f"it looks as if {says} of {exact.m} values of each channel were missing"
    return None


def _parts(exact: Exact) -> Iterator[tuple[NDArray[np.bool_], str]]:
    """Parts of a channel that loops leave out: the end, the start, the end of each row, examples."""
    m, n = exact.m, exact.examples
    places = np.arange(m)
    for k in range(1, min(m - 1, MOST)):
        yield places < m - k, f"the last {k}"
    length = m // n
    for k in range(1, min(length, 20)):
        yield places % length < length - k, f"the last {k} of each example's {length}, in all {k * n}"
    for k in range(1, min(m - 1, 20)):
        yield places >= k, f"the first {k}"
    yield places % 2 == 0, "every other one"


def _with_part(
    exact: Exact, quantity: str, x: Floats, g: Floats, xh: Floats, kept: NDArray[np.bool_]
) -> Iterator[Floats]:
    """The quantity with the sums taken over a part, divided by the number of values in it, or by all."""
    a = exact.arithmetic
    if quantity == "dbeta":
        yield g[:, kept].sum(axis=1)
    elif quantity == "dgamma":
        yield (g * xh)[:, kept].sum(axis=1)
    else:
        gamma, beta, weight = (_as_float64(a, v) for v in (exact.gamma, exact.beta, exact.a))
        for count in (kept.sum(), exact.m):
            mu = x[:, kept].sum(axis=1) / count
            var = ((x - mu[:, None]) ** 2)[:, kept].sum(axis=1) / count
            if quantity == "running_mean":
                yield _as_float64(a, exact.rm) * (1 - weight) + mu * weight
            elif quantity == "running_var":
                for var_stored in (var * count / max(count - 1, 1), var):
                    yield _as_float64(a, exact.rv) * (1 - weight) + var_stored * weight
            elif quantity == "y":
                scale = gamma / np.sqrt(var + float(_as_float64(a, exact.eps)))
                yield (x - mu[:, None]) * scale[:, None] + beta[:, None]


def _as_float64(arithmetic: Arithmetic, value: Number) -> Floats:
    return np.asarray(arithmetic.float64(value))


LEAST_BITS, MOST_BITS = 5, 20
"""Fewer bits that are right are no rounding, and more may be one of the format itself."""


def tell_bits(error: Floats, size: Floats, wrong: NDArray[np.bool_]) -> str | None:
    """To how many bits alone all values of a size are right, where most are off by no more and no less."""
    if wrong.mean() < 0.5:
        return None
    off = np.max(np.abs(error[wrong]) / size[wrong], initial=0.0)
    bits = int(-np.log2(off)) if 0 < off < np.inf else 0
    if not LEAST_BITS <= bits <= MOST_BITS:
        return None
    return f"it looks as if a step had been rounded or approximated: all values are right to {bits} bits, and no more"


FEW = 5
"""With fewer channels, that some are right is chance: a gamma near zero, an easy batch."""


def tell_places(wrong: NDArray[np.bool_]) -> str | None:
    """In which channels, or which values of each, alone an array is off; `wrong` is (C,) or (C, m)."""
    channels: NDArray[np.bool_] = np.asarray(wrong.reshape(len(wrong), -1).any(axis=1))
    if not channels.all() and len(channels) < FEW:
        return None
    if not channels.all():
        places = np.flatnonzero(channels)
        if len(places) == 1:
            return f"only channel {places[0]} of {len(channels)} is off"
        if places[-1] == len(channels) - 1 and len(places) == len(channels) - places[0]:
            return f"only the channels from {places[0]} on, of {len(channels)}, are off"
        if len(places) == places[-1] + 1:
            return f"only the channels up to {places[-1]}, of {len(channels)}, are off"
        return f"only {len(places)} of {len(channels)} channels are off: {', '.join(map(str, places[:5]))}"
    if wrong.ndim < 2:
        return None
    values = np.flatnonzero(wrong.any(axis=0))
    if len(values) <= wrong.shape[1] / 2:
        if values[-1] == wrong.shape[1] - 1 and len(values) == wrong.shape[1] - values[0]:
            return f"only the last {len(values)} of {wrong.shape[1]} values of each channel are off"
        return f"only {len(values)} of {wrong.shape[1]} values of each channel are off, the first at {values[0]}"
    return None
