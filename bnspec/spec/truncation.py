"""How far a central difference of a training pass may be from its derivative (`docs/bounds.md`, relations)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def bound_truncation(step: Floats, dy: Floats, gamma: Floats, var: Floats, eps: float, k: int) -> Floats:
    """Bound of |L(x + step) - L(x - step) - 2 sum dx step|, shape (C,), for L = sum dy y of a training pass at x.

    `step` and `dy` are (C, m), `var` the variance that normalises, `k` its divisor K. The third derivative of L along
    the step is at most 12 |gamma| |dy - mean dy| sqrt(K) (c/V)**1.5, with c = sum (step - mean step)^2 / K and V the
    least variance on the way, eps added. Infinite nowhere, as eps > 0.
    """
    c = _squares(step) / k
    least = np.maximum(np.sqrt(var) - np.sqrt(c), 0.0) ** 2 + eps
    return np.asarray(4 * np.abs(gamma) * np.sqrt(_squares(dy) * k) * (c / least) ** 1.5)


def _squares(values: Floats) -> Any:
    """The sum of squared deviations of each channel."""
    return ((values - values.mean(axis=1, keepdims=True)) ** 2).sum(axis=1)
