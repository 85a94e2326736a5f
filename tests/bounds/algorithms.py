"""Right algorithms for mean and biased variance, and right passes made of them, in the dtype of x.

In half precision every operation rounds to the format, sums are accumulated in float32 and rounded once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from tests.bounds.batches import Batch, running

Array = NDArray[Any]
Statistics = Callable[[Array, Array], tuple[Array, Array]]
"""Mean and biased variance of x (C, m), given the running mean (C,); everything in the dtype of x."""


# Sums and quotients


def widen(values: Array) -> Array:
    """Half precision in float32, in which its sums belong."""
    return values.astype(np.float32) if values.dtype.itemsize == 2 else values


def in_order(x: Array) -> Array:
    """A sum from first to last, one addition at a time, as a plain loop does."""
    return np.cumsum(widen(x), axis=1)[:, -1].astype(x.dtype)


def reversed_order(x: Array) -> Array:
    return in_order(x[:, ::-1])


def pairwise(x: Array) -> Array:
    return np.asarray(np.ascontiguousarray(widen(x)).sum(axis=1)).astype(x.dtype)


def divide(total: Array, count: int) -> Array:
    """By a count that half precision may not hold, hence rounded once."""
    wide = widen(total)
    return np.asarray(wide / wide.dtype.type(count)).astype(total.dtype)


# Mean and biased variance


def two_passes_by(add: Callable[[Array], Array]) -> Statistics:
    def two_passes(x: Array, _: Array) -> tuple[Array, Array]:
        mean = divide(add(x), x.shape[1])
        return mean, divide(add((x - mean[:, None]) ** 2), x.shape[1])

    return two_passes


two_pass = two_passes_by(pairwise)


def corrected(x: Array, _: Array) -> tuple[Array, Array]:
    m = x.shape[1]
    mean = divide(in_order(x), m)
    d = x - mean[:, None]
    squares = in_order(d * d) - divide(in_order(d) ** 2, m)
    return mean, divide(np.maximum(squares, x.dtype.type(0)), m)


def welford(x: Array, _: Array) -> tuple[Array, Array]:
    columns = np.ascontiguousarray(x.T)
    mean, squares = columns[0].copy(), np.zeros_like(columns[0])
    for k in range(1, len(columns)):
        delta = columns[k] - mean
        mean = mean + delta / x.dtype.type(k + 1)
        squares = squares + delta * (columns[k] - mean)
    return mean, squares / x.dtype.type(len(columns))


def chan_by(split: Callable[[int], int]) -> Statistics:
    """Chan's combination, of parts of `split(m)` and of the remaining values."""

    def chan(x: Array, _: Array) -> tuple[Array, Array]:
        def join(part: Array) -> tuple[Array, Array]:
            m, one = part.shape[1], x.dtype.type
            if m == 1:
                return part[:, 0], np.zeros_like(part[:, 0])
            first = split(m)
            (a, sa), (b, sb) = join(part[:, :first]), join(part[:, first:])
            delta = b - a
            return a + delta * one((m - first) / m), sa + sb + delta * delta * one(first * (m - first) / m)

        mean, squares = join(x)
        return mean, squares / x.dtype.type(x.shape[1])

    return chan


def textbook(x: Array, _: Array) -> tuple[Array, Array]:
    m = x.shape[1]
    mean = divide(in_order(x), m)
    return mean, np.maximum(divide(in_order(x * x), m) - mean * mean, x.dtype.type(0))


def shifted_by(x: Array, shift: Array) -> tuple[Array, Array]:
    mean, var = textbook(x - shift[:, None], shift)
    return mean + shift, var


STATISTICS: dict[str, tuple[str, Statistics]] = {
    "two passes, pairwise sums": ("twopass", two_pass),
    "two passes, sums in order": ("twopass", two_passes_by(in_order)),
    "two passes, corrected": ("twopass", corrected),
    "Welford": ("stable", welford),
    "Chan, pairwise": ("stable", chan_by(lambda m: m // 2)),
    "shifted by the first value": ("shifted", lambda x, _: shifted_by(x, x[:, 0])),
    "shifted by the running mean": ("shifted", shifted_by),
    "textbook, clamped": ("textbook", textbook),
}


# Passes


Root = Literal["quotient", "power", "logarithm"]
Backward = Literal["plain", "folded", "paper"]
ROOTS: tuple[Root, ...] = get_args(Root)
BACKWARDS: tuple[Backward, ...] = get_args(Backward)


@dataclass(frozen=True)
class Ways:
    """Roads to the same numbers.

    `folded`: y = x alpha + (beta - mean alpha); `raw`: dgamma from sums of dy x; `root`: of rstd; `backward`: dx as the
    definition has it, folded to a dy + b x + c, or by the paper's derivatives by variance and mean.
    """

    folded: bool = False
    raw: bool = False
    root: Root = "quotient"
    backward: Backward = "plain"


def run_numpy(b: Batch, statistics: Statistics, divides_by: int, ways: Ways) -> dict[str, Array]:
    """A training pass in the dtype of x."""
    mean, biased = statistics(b.x, running(b)[0])
    return {"mean": mean, "biased": biased, **run_from(b, mean, scale_up(biased, b, divides_by), ways, divides_by)}


def scale_up(biased: Array, b: Batch, divides_by: int) -> Array:
    """The variance with another divisor."""
    m = b.x.shape[1]
    return biased if divides_by == m else biased * biased.dtype.type(m / divides_by)


def invert_root(total: Array, root: Root) -> Array:
    """1/sqrt(total)."""
    real = total.dtype.type
    if root == "power":
        return np.asarray(total ** real(-0.5))
    return np.exp(np.log(total) * real(-0.5)) if root == "logarithm" else np.asarray(real(1) / np.sqrt(total))


def run_from(b: Batch, mean: Array, var: Array, ways: Ways, divides_by: int | None) -> dict[str, Array]:
    """Output and gradients from mean and variance; `divides_by` is None in evaluation."""
    x, dy, gamma, beta = b.x, b.dy, b.state.gamma, b.state.beta
    assert gamma is not None
    assert beta is not None
    rstd = invert_root(var + x.dtype.type(b.eps), ways.root)
    deviation = x - mean[:, None]
    xhat, alpha = deviation * rstd[:, None], gamma * rstd
    if ways.folded:
        y = x * alpha[:, None]
        y = y + (beta - mean * alpha)[:, None]
    else:
        y = xhat * gamma[:, None] + beta[:, None]
    dbeta = in_order(dy)
    dgamma = rstd * (in_order(dy * x) - mean * dbeta) if ways.raw else pairwise(dy * xhat)
    m = x.shape[1]
    if divides_by is None:
        dx = (dy * gamma[:, None]) * rstd[:, None] if ways.raw else dy * alpha[:, None]
    elif ways.backward == "plain":
        dx = (dy - divide(dbeta, m)[:, None] - xhat * divide(dgamma, divides_by)[:, None]) * alpha[:, None]
    elif ways.backward == "folded":
        slope = -(alpha * rstd * divide(dgamma, divides_by))
        constant = -(alpha * divide(dbeta, m)) - mean * slope
        dx = dy * alpha[:, None] + x * slope[:, None] + constant[:, None]
    else:
        by_xhat = dy * gamma[:, None]
        by_var = pairwise(by_xhat * deviation) * x.dtype.type(-0.5) * rstd * rstd * rstd
        by_mean = -(rstd * pairwise(by_xhat))
        twice = deviation * x.dtype.type(2)
        dx = by_xhat * rstd[:, None] + divide(by_var, divides_by)[:, None] * twice + divide(by_mean, m)[:, None]
    return {"y": y, "dx": dx, "dgamma": dgamma, "dbeta": dbeta}


# Running statistics


def weigh(real: Callable[[float], Any], momentum: float, gives: str) -> tuple[Any, Any]:
    """The weights of old and new in a dtype, where a layer is `gives`: the new weight, or the old."""
    if gives == "new":
        return real(1) - real(momentum), real(momentum)
    return real(momentum), real(1) - real(momentum)
