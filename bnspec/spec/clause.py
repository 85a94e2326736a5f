"""What a clause consists of, and the words of the specification that all clauses share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["MUST", "SHOULD", "GRADE"]
Status = Literal["active", "planned", "provisional", "disputed"]

# Informative cases asked for in smoke, standard and thorough, where the usual (8, 64, 512) cannot be reached.
RARE = (2, 16, 128)
COSTLY = (1, 8, 64)
ENUMERATED = (1, 1, 1)
THOROUGH_ONLY = (0, 0, 4)


@dataclass(frozen=True)
class Clause:
    """One clause of the specification.

    `needs` names the abilities (see `bnspec.layers.promises`) without which the clause says nothing; `informative` is
    the number of informative cases that a cell (one dtype on one device) must reach in the profiles smoke, standard
    and thorough; `bound` says what decides, with the chapters of `docs/bounds.md`; a `diagnostic` clause follows from
    others within the propagated bound and explains a failure.
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
    informative: tuple[int, int, int] = (8, 64, 512)
    diagnostic: bool = False

    @property
    def family(self) -> str:
        return self.id[0]
