"""The class of a variance's algorithm, from how its error grows with the condition number of the batch.

kappa = sqrt(1 + mu^2/s2) is the condition number of Chan, Golub & LeVeque 1983, who give the relative errors below. An
error of sqrt(u), half of the digits, is reached at kappa* = u^-q:

| letter | algorithm | error | slope in log kappa | q |
|---|---|---|---|---|
| C | one pass over squares | m u kappa^2 | 2 | 1/4 |
| B | one pass with a running mean, or merged parts | m u kappa | 1 | 1/2 |
| A | two passes | m u + (m u kappa)^2 | 2 | 3/4 |

The slope cannot tell A from C: q tells C from the rest, midway between 1/4 and 1/2. Constants move q: that of one pass
to 3/4 where its error is u kappa/64 in float32, as averages over m values are, that of two passes to 2/3 for sums in
order. Few places make the slope uncertain. So slope + 2 q tells A from B, midway between 1 + 2 3/4 and 2 + 2 2/3. An
algorithm in wider arithmetic, or one that shifts by a value of the data, may never lose half of its digits: A, beyond
the grid, where nothing grows and q alone decides.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LETTERS = "CBA"
"""From the worst to the best."""
SQUARES, ONE_PASS, TWO_PASSES = 1 / 4, 1 / 2, 3 / 4
"""q of the classes."""
MIDWAY = ((1 + 2 * (3 / 4)) + (2 + 2 * (2 / 3))) / 2
"""slope + 2 q between the largest of one pass and the least of two."""
POINTS = 25
"""Condition numbers in a sweep: seven or more lie where an error grows from u^(3/4) to u^(1/4), whatever its class."""

HELD = {"twopass": {"running_var": "A", "y": "B", "dx": "B"}, "stable": dict.fromkeys(("running_var", "y", "dx"), "B")}
"""The least letter of a declared class, by where the variance is seen.

Through y and dx no class is held to A: y = x alpha + shift errs by u kappa with an exact variance. What is squared may
be shifted by a value that is far away, so that the classes shifted, textbook and any are held to nothing.
"""


@dataclass(frozen=True)
class Grade:
    """`kappa_star` is where half of the digits are lost, and where not, the end of the grid, `beyond` which it lies.

    `slope` is None where the error grows in too few places to tell.
    """

    letter: str
    kappa_star: float
    beyond: bool
    slope: float | None

    @property
    def worth(self) -> tuple[float, float]:
        return LETTERS.index(self.letter), self.kappa_star

    def describe(self, *besides: str) -> str:
        """Letter and kappa*, with what is to stand beside them."""
        told = f"kappa* {'above ' if self.beyond else ''}{self.kappa_star:.1e}"
        return f"{self.letter} ({', '.join((told, *besides))})"


def grid(u: float) -> Floats:
    """The condition numbers of a sweep, (POINTS,): from 1 to where a batch holds a few units in the last place."""
    return np.geomspace(1.0, 0.16 / u, POINTS)


def grade(kappa: Floats, error: Floats, u: float) -> Grade:
    """The class that relative errors (P,) of a variance at ascending condition numbers (P,) belong to."""
    x, y, digits = np.log(kappa), np.log(np.maximum(error, u / 8)), -np.log(u)
    height = np.maximum.accumulate(y)
    first = int(np.searchsorted(height, -digits / 2))
    beyond = first == len(x)
    if beyond or not first:
        log_star = x[min(first, len(x) - 1)]
    else:
        log_star = np.interp(-digits / 2, height[first - 1 : first + 1], x[first - 1 : first + 1])
    slope = _measure_slope(x, y, height, digits)
    q = log_star / digits
    twice = q > (ONE_PASS + TWO_PASSES) / 2 if slope is None else slope + 2 * q > MIDWAY
    letter = "C" if q < (SQUARES + ONE_PASS) / 2 else "A" if twice else "B"
    return Grade(letter, float(np.exp(log_star)), beyond, slope)


def _measure_slope(x: Floats, y: Floats, height: Floats, digits: float) -> float | None:
    """The slope of y over x from the last place below u^(3/4) to the first above u^(1/4), None without three places."""
    start = max(int(np.searchsorted(height, -0.75 * digits)) - 1, 0)
    end = int(np.searchsorted(height, -0.25 * digits)) + 1
    return float(np.polyfit(x[start:end], y[start:end], 1)[0]) if len(x[start:end]) > 2 else None
