"""Errors in units of their bounds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from bnspec.conformance.expected import ExpectedPass, Terms, begin_buffers, update_buffers
from numpy.typing import NDArray

from bnspec.spec.bounds import rounding_for
from bnspec.spec.dialects import TORCH
from bnspec.spec.formats import PRECISIONS
from bnspec.spec.precision import Arithmetic, arithmetic_for
from tests.bounds.batches import Batch

Array = NDArray[Any]
Claims = dict[str, tuple[Any, Array]]
"""Exact value and bound of each quantity."""


def terms_for(precision: str, algorithm: str = "any", **conventions: Any) -> Terms:
    storage, parameters = PRECISIONS[precision].storage, PRECISIONS[precision].parameters
    return Terms(replace(TORCH, **conventions), arithmetic_for(storage), rounding_for(storage, parameters), algorithm)


def find_error(got: Array, exact: Any, a: Arithmetic) -> Array:
    """|got - exact|; infinite where got is not a number."""
    with np.errstate(all="ignore"):
        off = a.float64(abs(a.array(got) - exact))
    return np.where(np.isnan(off), np.inf, off)


def find_share(off: Array, bound: Array) -> Array:
    """The error in units of its bound; not a number where nothing is claimed."""
    with np.errstate(all="ignore"):
        ratios = np.where(off == 0, 0.0, off / bound)
    return np.where(np.isfinite(bound), ratios, np.nan)


def measure(got: Array, exact: Any, bound: Array, a: Arithmetic) -> float:
    """The largest error in units of its bound, over what is claimed; infinite where a claimed value is not finite."""
    shares = find_share(find_error(got, exact, a), bound)
    return float(shares[np.isfinite(bound)].max(initial=0.0))


def claim(b: Batch, expected: ExpectedPass, *, momentum: float | None = None) -> Claims:
    with np.errstate(all="ignore"):  # eps = 0 under a constant channel: infinite, and nothing claimed
        gradients, errors = expected.differentiate(b.native(b.dy))
    claims = {
        "y": (expected.forward.y, expected.e_y),
        "dx": (gradients.x, errors.x),
        "dgamma": (gradients.gamma, errors.gamma),
        "dbeta": (gradients.beta, errors.beta),
    }
    if expected.moments is not None:
        claims["mean"] = expected.moments.mean, expected.errors.mean
        claims["biased"] = expected.moments.var, expected.errors.biased_var
    if momentum is not None:
        buffers = update_buffers(begin_buffers(expected.terms, b.state), expected, momentum, 0)
        claims["running_mean"] = buffers.mean, buffers.e_mean
        claims["running_var"] = buffers.var, buffers.e_var
    return claims


class Worst:
    """The worst ratio of every implementation and quantity, and the cases beyond their bound."""

    def __init__(self) -> None:
        self.ratios: dict[tuple[str, str], float] = defaultdict(float)
        self.beyond: list[str] = []

    def add(self, who: str, case: int, found: dict[str, Array], claims: Claims, a: Arithmetic) -> None:
        for quantity, value in found.items():
            if quantity not in claims:
                continue
            ratio = measure(value, *claims[quantity], a)
            self.ratios[who, quantity] = max(self.ratios[who, quantity], ratio)
            if ratio > 1:
                self.beyond.append(f"case {case}: {quantity} of {who} is {ratio:.3g} bounds off")

    def settle(self, record: Callable[[str, object], None]) -> None:
        for (who, quantity), ratio in self.ratios.items():
            record(f"{who}: {quantity}", round(ratio, 3))
        assert not self.beyond, "\n".join(self.beyond[:10])
