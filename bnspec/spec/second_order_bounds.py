"""Rounding bounds of second order and of forward mode, in float32 and float64. Derivation: `docs/bounds.md`.

Arrays are float64 and channel-major; an infinite bound means that no claim is made there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.spec.bounds import (
    Magnitudes,
    Rounding,
    StatisticsError,
    accumulate,
    bound_output,
    error_of_xhat,
    is_clamped,
)
from bnspec.spec.second_order import Directions

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Projection:
    """An upstream gradient or a direction: its values (C, m), sum(values xhat) (C,), and how far this and its dx may be
    off (`bounds.bound_gradients`)."""

    values: Floats
    dgamma: Floats
    e_gamma: Floats
    e_x: Floats


@dataclass(frozen=True)
class SecondError:
    """Allowed errors of the gradients of L2 by x (C, m), gamma (C,) and dy (C, m)."""

    x: Floats
    gamma: Floats
    dy: Floats


def bound_pushed(
    u: Projection, along: Directions, v: Magnitudes, y: Floats, e: StatisticsError, r: Rounding, k: int | None
) -> Floats:
    """Allowed error of y', whose exact value is `y`: that of an output with a and b, that of a dx, and their sum."""
    own = np.abs(u.values) if k is None else _spread(u.values) + _xhat(v) * np.abs(u.dgamma / k)[:, None]
    moved = np.abs(v.gamma * v.rstd)[:, None] * own
    sizes = np.abs(along.gamma)[:, None] * _xhat(v) + np.abs(along.beta)[:, None] + moved
    scaled = bound_output(replace(v, gamma=along.gamma, beta=along.beta), y, e, r)
    return np.asarray(scaled + u.e_x + accumulate(4, r.u) * sizes)


def bound_second(
    g: Projection, u: Projection, along: Directions, v: Magnitudes, pushed: Floats, e: StatisticsError, r: Rounding,
    k: int | None,
) -> SecondError:  # fmt: skip
    """Allowed errors of the gradients of L2; `pushed` is the exact one by dy, k is K, None in evaluation."""
    a, gamma, top = np.abs(along.gamma), np.abs(v.gamma), e.rstd_max
    if k is None:
        each, products = np.abs(g.values), np.abs(g.values * u.values).sum(axis=1)
        e_x = (a * (accumulate(6, r.u) * top + e.rstd))[:, None] * each
        e_gamma = (accumulate(products_in(g), r.u) * top + e.rstd) * products
    else:
        e_x, e_gamma = _bound_training(g, u, a, gamma, v, e, r, k)
    lost, safe = _at_the_ends(g, u, a, gamma, v, top, r)
    return SecondError(
        np.where(safe[:, None], e_x + lost[:, None], np.inf),
        np.where(safe, e_gamma + lost, np.inf),
        bound_pushed(u, along, v, pushed, e, r, k),
    )


def products_in(g: Projection) -> int:
    """Roundings of a sum of m products of three factors, one of them centred."""
    return int(g.values.shape[1]) + 12


def _bound_training(
    g: Projection, u: Projection, a: Floats, gamma: Floats, v: Magnitudes, e: StatisticsError, r: Rounding, k: int
) -> tuple[Floats, Floats]:
    """The product rule on every factor, with what a recorded graph centres or adds up uncentred."""
    xhat, e_xhat, top = _xhat(v), error_of_xhat(v, e, r), e.rstd_max
    many, clamped = accumulate(products_in(g), r.u), is_clamped(v, e)[:, None]
    sizes_g, sizes_u = _spread(g.values), _spread(u.values)
    h, q, e_h, e_q = ((each / k)[:, None] for each in (np.abs(g.dgamma), np.abs(u.dgamma), g.e_gamma, u.e_gamma))

    def project(sizes: Floats, along: Floats, e_along: Floats) -> tuple[Floats, Floats]:
        """Size and error of w or s."""
        size = sizes + xhat * along
        error = many * size + e_xhat * (along + e_along) + xhat * e_along + np.where(clamped, xhat * along, 0.0)
        return size, _centre(error)

    (w, e_w), (s, e_s) = project(sizes_g, h, e_h), project(sizes_u, q, e_q)
    mixed = (sizes_g * sizes_u).sum(axis=1, keepdims=True) / k
    crossed = q * e_h + h * e_q + e_q * e_h
    e_p = many * (mixed + q * h) + (np.abs(u.values) * e_w + np.abs(g.values) * e_s).sum(axis=1, keepdims=True) / k
    p, e_p = mixed + 3 * q * h, e_p + 3 * crossed
    size = q * w + h * s + xhat * p
    inner = e_q * w + (q + e_q) * e_w + e_h * s + (h + e_h) * e_s + e_xhat * (p + e_p) + xhat * e_p
    inner = _centre(inner + many * size + np.where(clamped, size, 0.0))
    a, gamma, top, e_r = (each[:, None] for each in (a, gamma, top, e.rstd))
    e_x = a * (top * e_w + e_r * w) + gamma * (top**2 * inner + 2 * top * e_r * size)
    e_x = e_x + many * (a * top * w + gamma * top**2 * size)
    e_gamma = top * k * e_p + e_r * k * p + np.where(clamped, top * k * q * h, 0.0)
    return np.asarray(e_x), np.asarray(e_gamma[:, 0])


def bound_through(
    e_dy: Floats, v: Magnitudes, e: StatisticsError, r: Rounding, k: int | None
) -> tuple[Floats, Floats, Floats]:
    """What an error of an upstream gradient makes of dx, dgamma and dbeta, with a tenth for rounding."""
    xhat, scale = _xhat(v) + error_of_xhat(v, e, r), 1.1 * (np.abs(v.gamma) * e.rstd_max)[:, None]
    along = (xhat * e_dy).sum(axis=1)
    moved = e_dy if k is None else _spread(e_dy) + xhat * (along / k)[:, None]
    return scale * moved, 1.1 * along, 1.1 * e_dy.sum(axis=1)


def _at_the_ends(
    g: Projection, u: Projection, a: Floats, gamma: Floats, v: Magnitudes, top: Floats, r: Rounding
) -> tuple[Floats, Any]:
    """What underflow may lose, and where no term of a recorded graph, r^5 d^2 sum(g d) sum(u d) say, may overflow."""
    widest = 1 + np.abs(v.x).max(axis=1) + np.abs(v.mean)
    sums = (1 + np.abs(g.values).sum(axis=1)) * (1 + np.abs(u.values).sum(axis=1))
    largest = (1 + top) ** 5 * sums * widest**3 * (1 + a + gamma)
    return 32 * r.w * largest, largest < r.arithmetic.largest / 8


def _xhat(v: Magnitudes) -> Floats:
    return np.asarray(np.abs(v.deviation) * v.rstd[:, None])


def _spread(values: Floats) -> Floats:
    """|values| + mean |values|: the sizes that centring adds up."""
    return np.asarray(np.abs(values) + np.abs(values).mean(axis=1, keepdims=True))


def _centre(errors: Floats) -> Floats:
    """The error of what is centred after it was computed."""
    return np.asarray(errors + errors.mean(axis=1, keepdims=True))
