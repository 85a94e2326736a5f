"""What the museum knows about a layer that it shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Form = Literal["torch module", "torch function", "numpy"]

LOW = ("float16", "bfloat16")
HIGH = ("float32", "float64")
DOUBLE = ("float64",)


@dataclass(frozen=True)
class Mutant:
    """A wrong layer, a step away from a right one.

    `source` is a public thread (owner/repository#number) or says how the mistake comes about; `target` is
    `module:attribute`; `clauses` are those that must refuse it, whatever others do, planned ones included; `ranks` are
    those at which it is wrong, and `dtypes` those in which it shows (LOW: the mistake is one of low precision; DOUBLE:
    float32 is as it should be). `profile` is the shortest that refuses it. Where all its clauses are of level SHOULD,
    only a strict verdict does.
    """

    id: str
    what_is_wrong: str
    source: str
    form: Form
    target: str
    clauses: tuple[str, ...]
    dialect: str = "torch"
    ranks: tuple[int, ...] = (2, 3, 4, 5)
    dtypes: tuple[str, ...] = HIGH
    profile: Literal["smoke", "standard"] = "smoke"


@dataclass(frozen=True)
class RightLayer:
    """A right layer; `how` says by what other road it comes to the same numbers."""

    id: str
    how: str
    form: Form
    target: str
    dialect: str = "torch"
