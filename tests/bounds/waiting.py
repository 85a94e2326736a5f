"""What is left out of the run until its bound is mended, and why. With WAITING empty nothing is left out."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.spec.bounds import Rounding, rounding_for
from bnspec.spec.formats import PRECISIONS
from tests.bounds.batches import running
from tests.bounds.layers import ways_of
from tests.bounds.populations import Channels

Array = NDArray[Any]


class Waiting:
    """The channels of one batch that wait, by why they do."""

    def __init__(self, c: Channels, precision: str) -> None:
        self.channels, self.precision, self.batch = c, precision, c.batch
        self.storage = PRECISIONS[precision].storage
        self.rounding: Rounding = rounding_for(self.storage, PRECISIONS[precision].parameters)
        self.is_throughout = precision in ("float16", "bfloat16")
        self.gamma = np.abs(np.asarray(c.batch.state.gamma, np.float64))
        self.largest = np.abs(c.batch.x.astype(np.float64)).max(axis=1)

    @cached_property
    def roots(self) -> Array:
        """rstd of the batch and of the running variance (2, C)."""
        both = np.stack([self.batch.x.astype(np.float64).var(axis=1), running(self.batch)[1].astype(np.float64)])
        return np.asarray(1 / np.sqrt(both + self.batch.eps))

    @cached_property
    def tiny(self) -> Array:
        """Values, or the first products of them, among the subnormal numbers."""
        r, dy = self.rounding, np.abs(self.batch.dy.astype(np.float64))
        least = 2 * max(each.smallest_normal for each in (r.forward, r.backward, r.output))
        x, g, gamma = self.largest, np.where(dy > 0, dy, np.inf).min(axis=1), self.gamma
        sizes = np.stack([x, g, gamma, *(x * self.roots), *(gamma * self.roots), g * gamma])
        return np.asarray(((sizes > 0) & (sizes < least)).any(axis=0))

    @cached_property
    def far(self) -> Array:
        """Squares of x - K, for a running mean K, that overflow where those of x do not."""
        shift = np.abs(running(self.batch)[0].astype(np.float64))
        squares = self.batch.x.shape[1] * np.maximum(self.largest, shift) ** 2
        return np.asarray(squares >= self.rounding.arithmetic.largest / 8)

    @cached_property
    def folded_out(self) -> Array:
        """gamma rstd overflows, where its product with x would not."""
        return np.asarray((self.gamma * self.roots >= self.storage.largest / 4).any(axis=0))

    @cached_property
    def clamped(self) -> Array:
        """A variance of E[x^2] - E[x]^2 may come out below zero, and where it is clamped no gradient passes it."""
        x, m = self.batch.x.astype(np.float64), self.batch.x.shape[1]
        return np.asarray(x.var(axis=1) <= 4 * (m + 14) * self.rounding.u * self.largest**2)

    def reasons(self, layer: str, quantity: str, judged: str) -> dict[str, Array | bool]:
        """Which channels (C,) wait, or whether all do, for a quantity of a layer under its `own` class or `any`."""
        scales = layer.startswith("recorded") or ways_of(self.channels.turn).backward == "paper"
        return {
            SUBNORMAL: self.tiny,
            SHIFTED_FAR: self.far if layer == "shifted by the running mean" else False,
            SHIFTED_THROUGHOUT: self.is_throughout and layer.startswith("shifted") and judged == "any",
            SCALED: self.is_throughout and scales and quantity == "dx",
            CLAMPED: self.clamped if (layer, quantity) == ("recorded, textbook", "dx") else False,
            FOLDED: self.folded_out if self.precision == "float16" and quantity.endswith("y") else False,
        }

    def leave_out(self, layer: str, quantity: str, judged: str, ratios: Array) -> Array:
        """The ratios (C,), no numbers where they wait."""
        with np.errstate(all="ignore"):
            for why, waits in self.reasons(layer, quantity, judged).items():
                if why in WAITING:
                    ratios = np.where(waits, np.nan, ratios)
        return ratios


SUBNORMAL = "subnormal values, gradients or scales (3 to 4 % of the channels, a third where x is float16)"
SHIFTED_FAR = "shifting by a running mean so far away that squares overflow"
SHIFTED_THROUGHOUT = "shifting in half precision throughout, under class any"
SCALED = "dx in half precision throughout where g gamma is rounded before it is summed"
FOLDED = "y in float16 throughout where gamma rstd overflows"
CLAMPED = "dx of a recorded graph whose variance may be clamped at zero"
WAITING: tuple[str, ...] = ()
