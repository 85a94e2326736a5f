"""What a target says about itself, in attributes whose names start with `bnspec_`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from bnspec.layers.adapter import read_attribute
from bnspec.layers.construction import EPS_NAMES, MOMENTUM_NAMES
from bnspec.layers.promises import ABILITIES, REPEATS, Momentum
from bnspec.layers.target import TargetError, suggest
from bnspec.spec.bounds import CLASSES
from bnspec.spec.dialects import DIALECTS
from bnspec.spec.formats import PRECISIONS

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class Declarations:
    """Attributes of the target, each without its prefix; None where it declares none.

    `versions` by name are what the certificate should tell of besides the framework; `forks` is False where a child
    that is forked cannot call the layer, because threads of a pool are not there; `compiles` is True where each new
    shape of a batch takes a good part of a second, so that few shapes are drawn; `channel_axis` is the framework's own,
    where an adapter moves it; `channels_last` asks for batches (N, ..., C).
    """

    dialect: str | None = None
    ranks: tuple[int, ...] | None = None
    dtypes: tuple[str, ...] | None = None
    devices: tuple[str, ...] | None = None
    eps: float | None = None
    momentum: float | None = None
    algorithm: str | None = None
    reproducible: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    forks: bool = True
    compiles: bool = False
    channel_axis: int | None = None
    channels_last: bool = False


def read_declarations(*sources: Any) -> Declarations:
    """Each declaration from the first source that has it: a factory, then what it makes. Raises TargetError."""
    found = {}
    for declared in fields(Declarations):
        name = f"bnspec_{declared.name}"
        values = (read_attribute(source, name) for source in sources)
        value = next((value for value in values if value is not None), None)
        if value is not None:
            found[declared.name] = _READERS[declared.name](name, value)
    return Declarations(**found)


def check_abilities(names: frozenset[str], where: str) -> frozenset[str]:
    """The names, all of them abilities. Raises TargetError."""
    for name in sorted(names - ABILITIES.keys()):
        raise TargetError(f"{where} names no ability by {name!r}{suggest(name, ABILITIES)}")
    return names


def _read_names(known: tuple[str, ...]) -> Callable[[str, Any], tuple[str, ...]]:
    def read(name: str, value: Any) -> tuple[str, ...]:
        if not isinstance(value, tuple | list) or not all(isinstance(v, str) for v in value):
            raise TargetError(f"{name} is {value!r}: a tuple of names is wanted, such as {known[:2]}")
        for one in value:
            if one not in known:
                raise TargetError(f"{name} names {one!r}, which is not known{suggest(one, known)}")
        return tuple(value)

    return read


def _read_name(known: tuple[str, ...]) -> Callable[[str, Any], str]:
    def read(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in known:
            raise TargetError(f"{name} is {value!r}, which is not known{suggest(str(value), known)}")
        return value

    return read


def _read_ranks(name: str, value: Any) -> tuple[int, ...]:
    if not isinstance(value, tuple | list) or not value or not all(isinstance(v, int) and v >= 2 for v in value):
        raise TargetError(f"{name} is {value!r}: a tuple of ranks from 2 on is wanted, such as (2, 3)")
    return tuple(value)


def _read_axis(name: str, value: Any) -> int:
    if not isinstance(value, int):
        raise TargetError(f"{name} is {value!r}: the place of an axis is wanted, such as -1")
    return value


def _read_versions(name: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or not all(isinstance(text, str) for pair in value.items() for text in pair):
        raise TargetError(f"{name} is {value!r}: texts by name are wanted, such as {{'numpy': '2.4'}}")
    return dict(value)


def _read_truth(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TargetError(f"{name} is {value!r}: True or False is wanted")
    return value


def read_number(name: str, value: Any) -> float:
    """A float from a number, or from an array or tensor of one. Raises TargetError."""
    try:
        return float(value)
    except Exception:  # noqa: BLE001  (whatever the attribute holds, it is no number)
        raise TargetError(f"{name} is {value!r}: a number is wanted") from None


def fix_eps(name: str, given: dict[str, Any], declared: Declarations, free: bool, subject: Any = None) -> float | None:
    """The value of eps where it is fixed: given, declared, or an attribute of the layer; None where `free`.

    Raises TargetError where it can neither be chosen nor found.
    """
    value = _find_setting("eps", given, declared.eps, free, [read_attribute(subject, n, ...) for n in EPS_NAMES])
    if value == "absent":
        lacks = "" if subject is None else f", and a layer has no attribute {' or '.join(EPS_NAMES)}"
        raise TargetError(
            f"{name} takes no eps by the name {' or '.join(EPS_NAMES)}{lacks}: name it so, or declare the value in use,"
            f" bnspec_eps = ..., on the {'function' if subject is None else 'class'}"
        )
    return None if value == "free" else read_number("eps", value)


def fix_momentum(given: dict[str, Any], declared: Declarations, free: bool, subject: Any = None) -> Momentum:
    """What momentum is, found as eps is. Raises TargetError where it is no number."""
    own = [read_attribute(subject, name, ...) for name in MOMENTUM_NAMES]
    value = _find_setting("momentum", given, declared.momentum, free, own)
    if value in ("free", "absent"):
        return value  # type: ignore[no-any-return]  # one of the two words
    return "average" if value is None else read_number("momentum", value)


def _find_setting(what: str, given: dict[str, Any], declared: float | None, free: bool, own: list[Any]) -> Any:
    if what in given:
        return given[what]
    if declared is not None:
        return declared
    return "free" if free else next((value for value in own if value is not ...), "absent")


_READERS: dict[str, Callable[[str, Any], Any]] = {
    "dialect": _read_name(tuple(DIALECTS)),
    "ranks": _read_ranks,
    "dtypes": _read_names(tuple(PRECISIONS)),
    "devices": _read_names(DEVICES),
    "eps": read_number,
    "momentum": read_number,
    "algorithm": _read_name(tuple(CLASSES)),
    "reproducible": _read_names(tuple(REPEATS)),
    "without": _read_names(tuple(ABILITIES)),
    "versions": _read_versions,
    "forks": _read_truth,
    "compiles": _read_truth,
    "channel_axis": _read_axis,
    "channels_last": _read_truth,
}
