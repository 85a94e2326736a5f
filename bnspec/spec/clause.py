"""What a clause consists of, and the words of the specification that all clauses share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from bnspec.spec.formats import PRECISIONS

Level = Literal["MUST", "SHOULD", "GRADE"]
Binding = Literal["MUST", "SHOULD"]
Status = Literal["active", "planned", "provisional", "disputed"]

# Informative cases asked for in smoke, standard and thorough, where the usual (8, 64, 512) cannot be reached.
RARE = (2, 16, 128)
COSTLY = (1, 8, 64)
ENUMERATED = (1, 1, 1)
THOROUGH_ONLY = (0, 0, 2)
FROM_STANDARD = (0, 8, 64)
# Dtypes in which a relation is sharp enough to tell something.
WIDE = ("float32", "float64")
LOW_SHARE = 4
"""One informative case in so many is asked for in a low precision."""
SHORT = (4, 32, 256)
"""Of experiments with six or eight drawn cases a block."""


@dataclass(frozen=True)
class Clause:
    """One clause of the specification.

    `needs` names the abilities (see `bnspec.layers.promises`) without which the clause says nothing; `dtypes` those
    that it speaks of, () for all; `informative` is the number of informative cases that a cell (one dtype on one
    device) must reach in the profiles smoke, standard and thorough, 0 where the clause is judged only if it is named;
    `bound` says what decides, with the chapters of `docs/bounds.md`; a `diagnostic` clause follows from others within
    the propagated bound and explains a failure; `restates` names clauses that this one asks for on certain batches. A
    GRADE measures and decides nothing; where it holds a layer to something besides, a failure counts `fails_as`. It
    decides from the version `since` of the specification on.
    """

    id: str
    title: str
    statement: str
    why: str
    source: str
    bound: str
    level: Level = "MUST"
    status: Status = "planned"
    needs: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    informative: tuple[int, int, int] = (8, 64, 512)
    diagnostic: bool = False
    restates: tuple[str, ...] = ()
    fails_as: Binding | None = None
    since: str = "1.0"

    def speaks_of(self, dtype: str) -> bool:
        """Has the clause anything to say on layers of this dtype?"""
        return not self.dtypes or dtype in self.dtypes

    def runs_in(self, column: int) -> bool:
        """Is the clause judged in a profile, by its column, where nobody names it?"""
        return self.informative[column] > 0

    def asks_for(self, column: int, dtype: str) -> int:
        """Informative cases asked for in a profile, by its column; low precisions are sampled more thinly.

        A clause that was named where it does not run by itself asks for as many as in thorough.
        """
        wanted = self.informative[column] or self.informative[-1]
        return -(-wanted // LOW_SHARE) if PRECISIONS[dtype].is_low else wanted

    @property
    def family(self) -> str:
        return self.id[0]
