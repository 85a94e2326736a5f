"""Second order: what becomes of dx, dgamma and dbeta where x, gamma, beta and dy change.

With directions u (C, m), a and b (C,) let L2 = <u, dx> + <a, dgamma> + <b, dbeta>. The loss <dy, y> has a symmetric
Hessian, so that the gradients of L2 by x and gamma are the derivatives of dx and dgamma along (u, a, b), and that by dy
is the derivative of y: the answer of forward mode. Write w and s for dy and u less their parts along 1 and xhat, and
h = dgamma/K, q = sum(u xhat)/K, p = sum(dy s)/K = sum(u w)/K; then xhat' = r s, r' = -r^2 q and h' = r p, and the rest
is the product rule. dbeta' = 0, and nothing depends on beta. Arrays are channel-major, in any arithmetic.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnspec.spec.equations import Normalised
from bnspec.spec.precision import Number


@dataclass(frozen=True)
class Directions:
    """u by x (C, m), a by gamma and b by beta (C,)."""

    x: Number
    gamma: Number
    beta: Number


@dataclass(frozen=True)
class SecondOrder:
    """Gradients of L2 by x (C, m), gamma (C,) and dy (C, m)."""

    x: Number
    gamma: Number
    dy: Number


def project(values: Number, forward: Normalised, k: int) -> Number:
    """(C, m) less the mean and the part along xhat: dx / (gamma r) of an upstream gradient."""
    mean, along = values.sum(axis=1) / values.shape[1], (values * forward.xhat).sum(axis=1) / k
    return values - mean[:, None] - forward.xhat * along[:, None]


def push_forward(along: Directions, forward: Normalised, gamma: Number, k: int | None) -> Number:
    """y' = a xhat + b + gamma r s, in evaluation a xhat + b + gamma r u (clause G13); k is K, None in evaluation."""
    moved = along.x if k is None else project(along.x, forward, k)
    return forward.xhat * along.gamma[:, None] + along.beta[:, None] + moved * (gamma * forward.rstd)[:, None]


def differentiate_twice(
    dy: Number, along: Directions, forward: Normalised, gamma: Number, k: int | None
) -> SecondOrder:
    """by x: a r w - gamma r^2 (q w + h s + xhat p), by gamma: r sum(u w) (clause G10); k is None in evaluation.

    In evaluation mean and variance are constants: a r dy and r sum(u dy).
    """
    r, pushed = forward.rstd, push_forward(along, forward, gamma, k)
    if k is None:
        return SecondOrder(dy * (along.gamma * r)[:, None], (dy * along.x).sum(axis=1) * r, pushed)
    w, s = project(dy, forward, k), project(along.x, forward, k)
    h, q = ((each * forward.xhat).sum(axis=1) / k for each in (dy, along.x))
    p = (along.x * w).sum(axis=1) / k
    bent = w * q[:, None] + s * h[:, None] + forward.xhat * p[:, None]
    return SecondOrder(w * (along.gamma * r)[:, None] - bent * (gamma * r * r)[:, None], r * p * k, pushed)
