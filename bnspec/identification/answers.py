"""What identification tells."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from bnspec.spec.formats import FORMATS

Floats = NDArray[np.float64]
Key = TypeVar("Key")

FINE = 0.7
"""Candidates are told apart at u**0.7: rounding moves what is seen by a few u, a convention by a hundredth, and an eps
in float32 a float64 by 1e-8."""


@dataclass(frozen=True)
class Answer:
    """A convention by the field of a dialect, or by a word of `BESIDES`. `value` None: it cannot be told.

    `seen` says what was observed; `needs`, where nothing is told, what it would take. `spoken` is false of a value that
    no dialect may have. `odd` is true where what was observed is none of what was looked for.
    """

    field: str
    value: Any = None
    seen: str = ""
    needs: str = ""
    spoken: bool = True
    odd: bool = False


INSIDE = "inside the root"
"""Where all dialects have eps."""
RUNNING = "running"
"""By what all dialects normalise in evaluation, and frozen ones in training."""
BESIDES = ("evaluation", "eps_place", "weights", "algorithm")
"""What is told that no field of a dialect holds."""


@dataclass(frozen=True)
class Fit(Generic[Key]):
    """The candidates that give what was seen, within u**`FINE` of a format. None may."""

    keys: tuple[Key, ...]
    format: str

    def told(self, read: Callable[[Key], Any]) -> Any:
        """What all that fit have in common, None where they differ or none fits."""
        values = {read(key) for key in self.keys}
        return values.pop() if len(values) == 1 else None


def fit(seen: Floats, candidates: Mapping[Key, Floats], formats: Collection[str]) -> Fit[Key]:
    """Compare what was seen with each candidate, in the first of the formats in which any of them fits."""
    scale = float(np.max(np.abs(seen), initial=0.0)) or 1.0
    for name in formats:
        margin = scale * FORMATS[name].unit_roundoff ** FINE
        with np.errstate(invalid="ignore"):
            keys = tuple(k for k, c in candidates.items() if c.shape == seen.shape and np.all(abs(c - seen) <= margin))
        if keys:
            return Fit(keys, name)
    return Fit((), "")
