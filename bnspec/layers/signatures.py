"""Functions that are batch norms: what each of their parameters is, by its name, and what comes out of a call."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bnspec.layers.construction import EPS_NAMES, check_arguments, name_of, read_defaults, read_parameters
from bnspec.layers.protocol import Structure
from bnspec.layers.target import TargetError

PARAMETERS: dict[str, tuple[str, ...]] = {
    "x": ("input", "x", "X", "batch", "inputs"),
    "running_mean": ("running_mean", "moving_mean"),
    "running_var": ("running_var", "moving_var", "moving_variance"),
    "gamma": ("weight", "gamma", "scale"),
    "beta": ("bias", "beta", "offset", "shift"),
    "training": ("training", "train", "is_training"),
    "momentum": ("momentum", "exponential_average_factor", "decay"),
    "eps": EPS_NAMES,
}
"""By what a parameter of each role is known; the first name that the function has is taken."""
BUFFERS = ("running_mean", "running_var")
CHANNELS, RANKS = 3, (2, 4, 3, 5)
"""Of the batches that a function is tried out with."""


@dataclass(frozen=True)
class Signature:
    """A function and the parameter of each role, "" where it has none.

    `given` are arguments that go with every call, by their names; `positional` what is not taken by name, in order;
    `optional` the roles that the function itself leaves out by a default of None.
    """

    function: Callable[..., Any]
    name: str
    roles: Mapping[str, str]
    given: Mapping[str, Any]
    positional: tuple[str, ...]
    optional: frozenset[str]

    @property
    def fixed(self) -> dict[str, Any]:
        """By role, what of the settings is given."""
        return {role: self.given[name] for role, name in self.roles.items() if name in self.given}

    @property
    def defaults(self) -> dict[str, Any]:
        """The function's own of eps and momentum, where it has any."""
        return read_defaults(self.function, {setting: self.roles[setting] for setting in ("eps", "momentum")})

    def has(self, role: str) -> bool:
        return bool(self.roles[role])

    def call(self, values: Mapping[str, Any]) -> Any:
        """Call the function with values by role."""
        named = {name: values[role] for role, name in self.roles.items() if name} | dict(self.given)
        positional = [named.pop(name) for name in self.positional if name in named]
        return self.function(*positional, **named)

    def tell(self, arrays: str, update: str) -> str:
        """What was understood, in words."""
        known = ", ".join(name if name == role else f"{name} as {role}" for role, name in self.roles.items() if name)
        return f"a function of {arrays}: {known}; {update}"


def is_batch_norm(obj: Any) -> bool:
    """Has it parameters for both running statistics?"""
    parameters = read_parameters(obj) or {}
    return all(any(name in parameters for name in PARAMETERS[role]) for role in BUFFERS)


def read_signature(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Signature:
    """Find a parameter for each role. Raises TargetError where one that must be there is not, or one is left over."""
    name, parameters = name_of(function), read_parameters(function) or {}
    check_arguments(name, dict(arguments), parameters)
    roles = {role: next((n for n in names if n in parameters), "") for role, names in PARAMETERS.items()}
    for role in ("x", "training"):
        if not roles[role]:
            names = " or ".join(PARAMETERS[role])
            raise TargetError(f"{name} has no parameter {names}, which torch's function has: add it")
    filled = {*roles.values(), *arguments}
    for parameter in parameters.values():
        open_ended = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and parameter.name not in filled and not open_ended:
            raise TargetError(f"{name} needs a value for {parameter.name!r}: give it, --arg {parameter.name}=VALUE")
    positional = tuple(p.name for p in parameters.values() if p.kind is p.POSITIONAL_ONLY)
    bound = function.keywords if isinstance(function, functools.partial) else {}
    optional = frozenset(role for role, n in roles.items() if n and parameters[n].default is None)
    return Signature(function, name, roles, {**bound, **arguments}, positional, optional)


@dataclass(frozen=True)
class Update:
    """Where a call leaves the new running statistics: at these two places of what it returns, else in place.

    `several` where it returns more than y.
    """

    places: tuple[int, int] | None = None
    several: bool = False

    @property
    def words(self) -> str:
        """The same, for the reader of a certificate."""
        if self.places is None:
            first = "y is the first of what is returned" if self.several else "y is returned"
            return f"{first}, and the running statistics are written in place"
        mean, var = (place + 1 for place in self.places)
        return f"y is returned first, the new running mean as value {mean} and the new running variance as value {var}"


def call_twice(call: Callable[[Structure, float, float], Any], dtype: str) -> Sequence[Any] | None:
    """What two training calls return at the first rank of which they do; None where there is none.

    They differ in the running mean and variance alone, which `call` is told after the structure.
    """
    for rank in RANKS:
        structure = Structure(CHANNELS, rank, dtype, "cpu", 1e-5, 0.1)
        try:
            return [call(structure, filled, 1 + filled) for filled in (0.0, 0.5)]
        except Exception:  # noqa: BLE001  (a trial: whatever was raised, it takes no such batch)
            continue
    return None


def find_update(calls: Sequence[Any], unlike: Callable[[Any, Any], bool]) -> Update:
    """From what came of two training calls that differ in the running statistics alone: which values differ too.

    `unlike` compares two values that may be anything.
    """
    first, second = calls
    if not isinstance(first, tuple | list) or not isinstance(second, tuple | list):
        return Update()
    places = [i for i in range(1, min(len(first), len(second))) if unlike(first[i], second[i])]
    return Update((places[0], places[1]) if len(places) == len(BUFFERS) else None, several=True)


def take_y(returned: Any) -> Any:
    """y alone, or the first of several values."""
    return returned[0] if isinstance(returned, tuple | list) and returned else returned
