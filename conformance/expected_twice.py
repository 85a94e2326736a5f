"""The exact second order and forward mode of one pass, and how far a right layer may be from them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import Array, Gradients
from bnspec.spec.precision import Number
from bnspec.spec.second_order import Directions, differentiate_twice, push_forward
from bnspec.spec.second_order_bounds import Projection, bound_pushed, bound_second, bound_through

from .expected import ExpectedPass

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Bounded:
    """An exact value and its bound."""

    exact: Number
    bound: Floats


def expect_second(expected: ExpectedPass, dy: Array, along: Gradients, *, curved: bool) -> dict[str, Bounded]:
    """By x, gamma, beta and dy: the gradients of L2 for an upstream gradient and directions in native shapes.

    `curved` adds half the square of y less itself to the loss: dy is the same, and changes with y.
    """
    p, a = expected, expected.terms.arithmetic
    directions = _flatten(along, p)
    exact_dy = a.array(channel_major(dy))
    e, r, v = p.errors, p.terms.rounding, p.magnitudes
    with np.errstate(all="ignore"):
        exact = differentiate_twice(exact_dy, directions, p.forward, p.gamma, p.k)
        g, u = _project(p, exact_dy), _project(p, directions.x)
        bound = bound_second(g, u, _as_floats(directions, p), v, a.float64(exact.dy), e, r, p.k)
        zero = np.zeros(len(v.mean))
        found = {
            "x": Bounded(exact.x, bound.x),
            "gamma": Bounded(exact.gamma, bound.gamma),
            "beta": Bounded(a.array(zero), zero),
            "dy": Bounded(exact.dy, bound.dy),
        }
        if curved:
            more, e_more = p.differentiate_flat(exact.dy)
            through = bound_through(bound.dy, v, e, r, p.k)
            for name, inherited in zip(("x", "gamma", "beta"), through, strict=True):
                one, value = found[name], getattr(more, name)
                found[name] = Bounded(one.exact + value, one.bound + getattr(e_more, name) + inherited)
    return found


def expect_pushed(expected: ExpectedPass, along: Gradients) -> Bounded:
    """y' for tangents in native shapes."""
    p, a = expected, expected.terms.arithmetic
    directions = _flatten(along, p)
    with np.errstate(all="ignore"):
        exact = push_forward(directions, p.forward, p.gamma, p.k)
        u = _project(p, directions.x)
        args = _as_floats(directions, p), p.magnitudes, a.float64(exact), p.errors, p.terms.rounding, p.k
        return Bounded(exact, bound_pushed(u, *args))


def _flatten(along: Gradients, p: ExpectedPass) -> Directions:
    """Channel-major, zero where there is none."""
    a, zero = p.terms.arithmetic, np.zeros(len(p.x))
    x, gamma, beta = (
        np.zeros_like(p.x) if along.x is None else channel_major(along.x),
        *(zero if each is None else each.reshape(-1) for each in (along.gamma, along.beta)),
    )
    return Directions(a.array(x), a.array(gamma), a.array(beta))


def _as_floats(along: Directions, p: ExpectedPass) -> Directions:
    a = p.terms.arithmetic
    return Directions(a.float64(along.x), a.float64(along.gamma), a.float64(along.beta))


def _project(p: ExpectedPass, values: Number) -> Projection:
    a, (exact, bound) = p.terms.arithmetic, p.differentiate_flat(values)
    return Projection(a.float64(values), a.float64(exact.gamma), bound.gamma, bound.x)
