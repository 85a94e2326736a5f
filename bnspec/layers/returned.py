"""What a call of a function hands back: where y is, and where the new running statistics are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, NamedTuple

import numpy as np

from bnspec.layers.modes import from_last
from bnspec.layers.protocol import Array
from bnspec.layers.target import TargetError


class Attribute(str):
    """A key that is an attribute, of a named tuple or a dataclass."""

    __slots__ = ()


Path = tuple[int | str, ...]
"""The indices, keys and attributes that lead to a value: () is the whole."""
Count = Callable[[Any], int | None]
"""How many numbers an array of the framework's holds, None of anything else."""
BUFFERS = ("running_mean", "running_var")
FILLS = ((0.0, 1.0), (0.5, 1.0), (0.0, 1.5))
"""Running mean and variance that a function is tried out with: the second moves the one, the third the other."""
DEEPEST = 3
OVERWROTE = "overwrote {}, which it was given, and returned another one besides"
"""What is said of a function that does so: who calls it may read again what he handed over (F7)."""


class Trial(NamedTuple):
    """A training call: its batch, the (mean, var) it was given and what became of them, and the arrays it returned."""

    x: Array
    given: Sequence[Array]
    left: Sequence[Array]
    returned: Mapping[Path, Array]
    kind: str

    @property
    def written(self) -> bool:
        """Were the statistics changed in place?"""
        return any(not np.array_equal(a, b) for a, b in zip(self.given, self.left, strict=True))


@dataclass(frozen=True)
class Update:
    """`y` is where y lies in what is returned; `places` where the new running mean and variance do, None if in place.

    `seen` is false where a trial changed nothing in place either, `stored` where there are no running statistics;
    `last` where y comes as (N, ..., C).
    """

    y: Path = ()
    places: tuple[Path, Path] | None = None
    seen: bool = True
    stored: bool = True
    last: bool = False

    @property
    def words(self) -> str:
        """The same, for the reader of a certificate."""
        first = f"y is {write_path(self.y)} of what is returned" if self.y else "y is returned"
        if self.places is not None:
            mean, var = map(write_path, self.places)
            return f"{first}, {mean} the new running mean and {var} the new running variance"
        if not self.stored:
            return f"{first}, and there are no running statistics"
        if self.seen:
            return f"{first}, and the running statistics are written in place"
        return f"{first}, and the running statistics are read where they were given: a trial left them as they were"

    def take_y(self, returned: Any, count: Count) -> Any:
        """y of any call: of one that returns less than a training call, the first array."""
        found = _pick(returned, self.y)
        found = found if count(found) is not None else next(iter(find_arrays(returned, count).values()), returned)
        return from_last(found) if self.last else found

    def take_statistics(self, returned: Any, count: Count, channels: int | None) -> tuple[Any, Any] | None:
        """The running statistics as they are returned, of `channels` values where that is given; None if they are not.

        An evaluation may leave them out, or hand back empty ones.
        """
        if self.places is None:
            return None
        mean, var = (_pick(returned, place) for place in self.places)
        sizes = [count(mean), count(var)]
        return None if None in sizes or (channels is not None and sizes != [channels] * 2) else (mean, var)


def find_arrays(returned: Any, count: Count, path: Path = ()) -> dict[Path, Any]:
    """The arrays in tuples, lists, mappings and dataclasses, in their order."""
    if count(returned) is not None:
        return {path: returned}
    inner = _open(returned) if len(path) < DEEPEST else {}
    return {p: array for key, each in inner.items() for p, array in find_arrays(each, count, (*path, key)).items()}


def find_y(name: str, trial: Trial) -> Path:
    """The first array of the shape of x, else the first. Raises TargetError where none was returned."""
    arrays = trial.returned
    if not arrays:
        raise TargetError(
            f"{name} returned a {trial.kind}: y is wanted, or y and more in a tuple, list, dictionary or dataclass"
        )
    return next((path for path, array in arrays.items() if array.shape == trial.x.shape), next(iter(arrays)))


def find_update(name: str, trials: Sequence[Trial]) -> Update:
    """From one training call for each of `FILLS`: the values that follow the running mean, and those the variance.

    Raises TargetError where it returned no y, or new statistics cannot be told from others that it returned.
    """
    base, *moved = trials
    y = find_y(name, base)
    size = base.given[0].size
    others = [path for path, array in base.returned.items() if path != y and array.size == size]
    follows = [
        [path for path in others if _differs(trial, base, path) and not _is_named(path, other)]
        for trial, other in zip(moved, ("var", "mean"), strict=True)
    ]
    mean, var = (
        _choose(trials, [p for p in own if p not in other] or list(own)) for own, other in (follows, follows[::-1])
    )
    told = len(mean) == len(var) == 1
    if told and not (base.written and _match(base.returned, (mean[0], var[0]), base.left)):
        return Update(y, (mean[0], var[0]))
    if base.written:
        return Update(y)
    if len(others) == len(BUFFERS):
        first, second = sorted(others, key=lambda path: _is_named(path, "var") - _is_named(path, "mean"))
        return Update(y, (first, second))
    if others:
        listed = ", ".join(map(write_path, others))
        raise TargetError(
            f"{name} returned {len(others)} values of one number a channel besides y, {listed}, and wrote nothing in"
            " place: which are the new running mean and the new running variance cannot be told; return these two and"
            " no others, or write them in place"
        )
    joined = [p for p, a in base.returned.items() if p != y and a.size == len(BUFFERS) * size]
    for path in (p for p in joined if all(_differs(trial, base, p) for trial in moved)):
        raise TargetError(
            f"{name} returned {write_path(path)} of shape {base.returned[path].shape}, which follows both running"
            " statistics, and wrote nothing in place: return the new running mean and the new running variance apart"
        )
    return Update(y, seen=False)


def _differs(trial: Trial, base: Trial, path: Path) -> bool:
    return path in trial.returned and not np.array_equal(trial.returned[path], base.returned[path], equal_nan=True)


def _choose(trials: Sequence[Trial], paths: list[Path]) -> list[Path]:
    """One of those that are alike, and no old ones where there are new ones."""
    new = [p for p in paths if any(_is_new(trial, p) for trial in trials)] or paths
    return [p for i, p in enumerate(new) if not any(_same(trials, p, earlier) for earlier in new[:i])]


def _is_new(trial: Trial, path: Path) -> bool:
    return path in trial.returned and not any(np.array_equal(trial.returned[path].ravel(), b) for b in trial.given)


def _same(trials: Sequence[Trial], one: Path, other: Path) -> bool:
    return all(np.array_equal(t.returned.get(one, 0), t.returned.get(other, 0), equal_nan=True) for t in trials)


def _match(returned: Mapping[Path, Array], paths: Sequence[Path], arrays: Sequence[Array]) -> bool:
    return all(np.array_equal(returned[p].ravel(), array) for p, array in zip(paths, arrays, strict=True))


def _is_named(path: Path, what: str) -> bool:
    """Does the key or attribute say what the value is?"""
    return isinstance(path[-1], str) and what in path[-1].lower()


def _open(value: Any) -> Mapping[Any, Any]:
    if isinstance(value, Mapping):
        return value
    names = [f.name for f in fields(value)] if is_dataclass(value) else getattr(value, "_fields", ())
    if names and not isinstance(value, type):
        return {Attribute(name): getattr(value, name, None) for name in names}
    return dict(enumerate(value)) if isinstance(value, tuple | list) else {}


def _pick(returned: Any, path: Path) -> Any:
    """What is there, None where nothing is."""
    for key in path:
        returned = _open(returned).get(key)
    return returned


def write_path(path: Path) -> str:
    """As Python reaches it."""
    return "".join(f".{key}" if isinstance(key, Attribute) else f"[{key!r}]" for key in path)
