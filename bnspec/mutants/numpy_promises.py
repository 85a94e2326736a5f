"""NumPy layers that declare a class of the variance's algorithm, or to repeat every bit: truly, and not."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_promises.py)

from __future__ import annotations

from dataclasses import replace
from itertools import count

import numpy as np

from bnspec.mutants.numpy_base import Array, BatchNorm, to_rows
from bnspec.mutants.numpy_right import Textbook, Welford


# ---- true
class DeclaredTwoPass(BatchNorm):
    """Two passes, declared; the same sums in the same order, whatever the layout."""

    bnspec_algorithm = "twopass"
    bnspec_reproducible = ("run", "rows", "layout")


class DeclaredWelford(Welford):
    """A running mean, declared."""

    bnspec_algorithm = "stable"
    bnspec_reproducible = ("run", "rows", "layout")


# ---- not
class SquaresDeclaredTwoPass(Textbook):
    bnspec_algorithm = "twopass"


class WelfordDeclaredTwoPass(Welford):
    bnspec_algorithm = "twopass"


class SquaresInTheBackward(BatchNorm):
    bnspec_algorithm = "twopass"

    def forward(self, x: Array) -> Array:
        y = super().forward(x)
        if self.cache.coupled:
            values = to_rows(x)
            var = np.maximum((values**2).mean(axis=1) - values.mean(axis=1) ** 2, 0)
            self.cache = replace(self.cache, rstd=self.rstd(var)[:, None])
        return y


class SplitInTurn(BatchNorm):
    bnspec_reproducible: tuple[str, ...] = ("run", "rows")
    turns = count(2)

    def total(self, values: Array) -> Array:
        """Sums of parts, of which there is one more at each call, up to eight: few, so that most sums differ."""
        parts = np.array_split(values, next(self.turns) % 7 + 2, axis=1)
        return np.asarray(np.stack([part.sum(axis=1) for part in parts]).sum(axis=0))
