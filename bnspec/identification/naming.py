"""From answers to the dialect that is nearest, and to one sentence about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from bnspec.identification.answers import INSIDE, RUNNING, Answer
from bnspec.spec.dialects import DIALECTS, FIELDS, ROWS, Dialect, is_frozen

ESSENTIAL = ("training_statistics", "normalises_with", "stores", "momentum_weighs", "average", "constants")
"""What every training pass depends on: a dialect that differs there is another one."""
CONVENTIONS = tuple(f for f in FIELDS if f not in ("name", "implementation", "source"))
UNKNOWN = ("untried", "policy")
"""What a row says of what nobody tried, and of what another part of a framework decides."""
NAMED = 4
"""Most dialects that one sentence names."""


@dataclass(frozen=True)
class Nearest:
    """The nearest dialect, and others that differ nowhere else from what was told; in which fields the first does."""

    names: tuple[str, ...]
    differing: tuple[str, ...]
    told: int

    @property
    def dialect(self) -> Dialect:
        return DIALECTS[self.names[0]]


def find_nearest(answers: Mapping[str, Answer]) -> Nearest:
    """Compare what was told with each row; an essential field weighs more than all others together.

    What nobody tried is nearly a difference in the choice of the nearest, and none in what is like the nearest.
    """
    told = {f: answers[f].value for f in CONVENTIONS if f in answers and answers[f].value is not None}
    apart = {row.name: _differ(row, told) for row in ROWS}
    nearest = min(ROWS, key=lambda row: _weigh(row, apart[row.name], told)).name
    others = [row.name for row in ROWS if row.name != nearest and set(apart[row.name]) <= set(apart[nearest])]
    return Nearest((nearest, *others), apart[nearest], len(told))


def _weigh(row: Dialect, apart: tuple[str, ...], told: Mapping[str, Any]) -> tuple[int, float]:
    """How far a row is: in essential fields, and in all. One that stores nothing says nothing of how a layer stores."""
    essential = sum(f in ESSENTIAL for f in apart)
    if row.stores == "nothing" and "stores" in apart:
        essential += sum(f in told for f in ("momentum_weighs", "average"))
    return essential, len(apart) + sum(getattr(row, f) in UNKNOWN for f in told) * 3 / 4


def _differ(row: Dialect, told: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f for f, value in told.items() if _matters(row, f) and not _agrees(f, getattr(row, f), value))


def _matters(row: Dialect, field: str) -> bool:
    """Rows without a batch variance or buffers hold values there that are without effect."""
    if getattr(row, field) in UNKNOWN:
        return False
    if field == "normalises_with":
        return row.training_statistics == "batch"
    if field in ("momentum_weighs", "average", "initial_mean", "initial_var"):
        return row.stores != "nothing" or (is_frozen(row) and field.startswith("initial"))
    return True


def _agrees(field: str, of_row: Any, value: Any) -> bool:
    """Of ranks a part is enough, as a layer may be made for one, and an option that is not offered breaks nothing; nor
    does one that is refused where the row does not offer it."""
    if field == "ranks":
        return set(value) <= set(of_row)
    refused = field in ("momentum_none", "eval_without_statistics") and value in ("refused", "refuse")
    return bool(value in (of_row, "not offered") or (refused and of_row == "not offered"))


def speak(nearest: Nearest, answers: Mapping[str, Answer]) -> str:
    """One sentence; a second and a third where eps stands elsewhere, or something essential could not be told."""
    odd = [FIELDS[f] for f in ESSENTIAL if f in answers and answers[f].value is None and answers[f].odd]
    if odd:
        return (
            f"It speaks no dialect that can be named, as it does what none does: {', '.join(odd)} could not be told."
            f" What could be is nearest to {nearest.names[0]}.{_tell_evaluation(answers)}"
        )
    first, *others = nearest.names
    row = nearest.dialect
    also = f" (or {', '.join(others[: NAMED - 1])}, which cannot be told apart here)" if others else ""
    start = f"It speaks the dialect {first}{also}, that of {row.implementation}"
    place = answers["eps_place"].value if "eps_place" in answers else None
    beyond = "" if place in (None, INSIDE) else f" eps stands {place}, as in no dialect."
    beyond += _tell_evaluation(answers)
    untold = [FIELDS[f] for f in ESSENTIAL if f in answers and answers[f].value is None and _matters(row, f)]
    beyond += f" Not told: {', '.join(untold)}." if untold else ""
    if not nearest.differing:
        return f"{start}, in all {nearest.told} conventions that could be told.{beyond}"
    exceptions = [
        f"{FIELDS[f]} ({f}) is {answers[f].value!r} instead of {getattr(row, f)!r}" for f in nearest.differing
    ]
    *most, last = exceptions
    listed = f"{', '.join(most)} and {last}" if most else last
    return f"{start}, except that {listed}.{beyond}"


def _tell_evaluation(answers: Mapping[str, Answer]) -> str:
    found = answers.get("evaluation")
    if found is None or found.value in (RUNNING, "not offered"):
        return ""
    if found.value is None:
        return " Not told: what normalises in evaluation."
    return (
        f" What normalises in evaluation is: {found.value}; in all dialects it is the running statistics, eps inside."
    )


def as_dialect(nearest: Nearest, answers: Iterable[Answer]) -> Dialect:
    """The nearest dialect with what was told in place of what it holds."""
    found = {a.field: a.value for a in answers if a.field in CONVENTIONS and a.value is not None and a.spoken}
    return replace(nearest.dialect, **found)
