"""Functions that are batch norms: what each of their parameters is, by its name, and what comes out of a call."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bnspec.layers.construction import (
    EPS_NAMES,
    MODE_NAMES,
    MOMENTUM_NAMES,
    check_arguments,
    name_of,
    read_defaults,
    read_parameters,
)
from bnspec.layers.declarations import read_declarations
from bnspec.layers.modes import to_last
from bnspec.layers.protocol import Structure
from bnspec.layers.returned import BUFFERS, FILLS, Trial, Update, find_update, find_y
from bnspec.layers.target import TargetError

PARAMETERS: dict[str, tuple[str, ...]] = {
    "x": ("input", "x", "X", "batch", "inputs"),
    "running_mean": ("running_mean", "moving_mean"),
    "running_var": ("running_var", "moving_var", "moving_variance"),
    "gamma": ("weight", "gamma", "scale"),
    "beta": ("bias", "beta", "offset", "shift"),
    "training": MODE_NAMES,
    "momentum": MOMENTUM_NAMES,
    "eps": EPS_NAMES,
}
"""By what a parameter of each role is known; the first name that the function has is taken."""
WRAP = "wrap it in def bn(x, gamma, beta, running_mean, running_var, training, momentum, eps)"
"""What helps where a function has its arrays or its mode in something else, a dictionary say."""
CHANNELS, RANKS = 3, (2, 4, 3, 5)
"""Of the batches that a function is tried out with."""


@dataclass(frozen=True)
class Signature:
    """A function and the parameter of each role, "" where it has none.

    `given` are arguments that go with every call, by their names; `positional` what is not taken by name, in order;
    `optional` the roles that the function itself leaves out by a default of None; `last` where batches have the channel
    on the last axis, `shaped` where parameters and running statistics have its axes, as (1, C, 1, 1).
    """

    function: Callable[..., Any]
    name: str
    roles: Mapping[str, str]
    given: Mapping[str, Any]
    positional: tuple[str, ...]
    optional: frozenset[str]
    last: bool = False
    shaped: bool = False

    @property
    def fixed(self) -> dict[str, Any]:
        """By role, what of the settings is given."""
        return {role: self.given[name] for role, name in self.roles.items() if name in self.given}

    @property
    def defaults(self) -> dict[str, Any]:
        """The function's own of eps and momentum, where it has any."""
        return read_defaults(self.function, {setting: self.roles[setting] for setting in ("eps", "momentum")})

    @property
    def without(self) -> frozenset[str]:
        """The abilities that nobody has who cannot be handed a parameter, or cannot choose the mode."""
        closed = {role for role in ("gamma", "beta") if not self.is_open(role)}
        closed |= {"running_statistics"} if not all(map(self.is_open, BUFFERS)) else set()
        return frozenset(closed | ({"evaluation"} if self.fixed.get("training") else set()))

    @property
    def may_lack(self) -> frozenset[str]:
        """The abilities of one whose gamma and beta may be None, each or both."""
        each = {"gamma": "beta_alone", "beta": "unshifted"}
        lacking = {ability for role, ability in each.items() if role in self.optional}
        return frozenset(lacking | ({"unscaled"} if len(lacking) == 2 else set()))

    @property
    def may_lack_statistics(self) -> bool:
        """Can it be called without both running statistics, in a mode that is chosen?"""
        lacking = all(role in self.optional or (self.roles[role] and not self.is_open(role)) for role in BUFFERS)
        return lacking and self.is_open("training")

    def is_open(self, role: str) -> bool:
        """Is there such a parameter, and its value to be chosen?"""
        return bool(self.roles[role]) and self.roles[role] not in self.given

    def call(self, values: Mapping[str, Any]) -> Any:
        """Call the function with values by role, x as (N, C, ...)."""
        values = {**values, "x": to_last(values["x"])} if self.last else values
        named = {name: values[role] for role, name in self.roles.items() if name} | dict(self.given)
        positional = [named.pop(name) for name in self.positional if name in named]
        return self.function(*positional, **named)

    def shape(self, channels: int, rank: int) -> tuple[int, ...]:
        """Of parameters and running statistics, for batches of a rank."""
        if not self.shaped:
            return (channels,)
        return (*[1] * (rank - 1), channels) if self.last else (1, channels, *[1] * (rank - 2))

    def tell(self, arrays: str, update: str) -> str:
        """What was understood, in words."""
        known = [name if name == role else f"{name} as {role}" for role, name in self.roles.items() if name]
        given = [f"{name}={value!r}" for name, value in self.given.items()]
        listed = ", ".join(known) + (f"; given are {', '.join(given)}" if given else "")
        axis = ", which has the channel on the last axis" if self.last else ""
        shape = "(1, ..., 1, C)" if self.last else "(1, C, 1, ...)"
        axis += f", which takes parameters and running statistics of the shape {shape}" if self.shaped else ""
        return f"a function of {arrays}: {listed}{axis}; {update}"


def has_statistics(obj: Any) -> bool:
    """Has it parameters for both running statistics?"""
    parameters = read_parameters(obj) or {}
    return all(any(name in parameters for name in PARAMETERS[role]) for role in BUFFERS)


def is_batch_norm(obj: Any) -> bool:
    """Has it parameters for both running statistics or, as a function, for x and gamma?

    Raises TargetError of a function that has x and a mode, and its statistics under other names.
    """
    parameters = read_parameters(obj) or {}
    has = {role: any(name in parameters for name in names) for role, names in PARAMETERS.items()}
    if has_statistics(obj):
        return True
    if not (inspect.isroutine(obj) and has["x"]):
        return False
    if has["training"] and not has["gamma"]:
        wanted = " and ".join(" or ".join(PARAMETERS[role]) for role in BUFFERS)
        raise TargetError(
            f"{name_of(obj)} has no parameters {wanted}, by which a function of batch norm is known: {WRAP}"
        )
    return has["gamma"]


def read_signature(function: Callable[..., Any], arguments: Mapping[str, Any]) -> Signature:
    """Find a parameter for each role. Raises TargetError where one that must be there is not, or one is left over."""
    name, parameters = name_of(function), read_parameters(function) or {}
    kinds = {parameter.kind for parameter in parameters.values()}
    check_arguments(name, dict(arguments), parameters, inspect.Parameter.VAR_KEYWORD in kinds)
    known = {*parameters, *arguments}
    roles = {role: next((n for n in names if n in known), "") for role, names in PARAMETERS.items()}
    stored = [role for role in BUFFERS if roles[role]]
    for role in ("x", *(("training", *BUFFERS) if stored else ())):
        if not roles[role]:
            names = " or ".join(PARAMETERS[role])
            raise TargetError(f"{name} has no parameter {names}: add it, or {WRAP}")
    filled = {*roles.values(), *arguments}
    for parameter in parameters.values():
        open_ended = parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        if parameter.default is parameter.empty and parameter.name not in filled and not open_ended:
            unfound = "; ".join(f"{role} is {' or '.join(PARAMETERS[role])}" for role in roles if not roles[role])
            raise TargetError(
                f"{name} needs a value for {parameter.name!r}: give it, --arg {parameter.name}=VALUE"
                + (f", or name it as what it is: {unfound}" if unfound else "")
                + f"; where it is no number, {WRAP}"
            )
    bound = function.keywords if isinstance(function, functools.partial) else {}
    given = {**bound, **arguments}
    for role in ("gamma", "beta", *BUFFERS):
        if given.get(roles[role]) is not None:
            raise TargetError(f"{name} is given {roles[role]}, which each layer has its own of: leave it open, or None")
    positional = tuple(p.name for p in parameters.values() if p.kind is p.POSITIONAL_ONLY)
    own = {name: p.default for name, p in parameters.items() if name not in given}
    optional = frozenset(role for role, name in roles.items() if own.get(name, ...) is None)
    last = read_declarations(function, getattr(function, "func", None)).channels_last
    return Signature(function, name, roles, given, positional, optional, last)


def understand(signature: Signature, trials: Sequence[Trial]) -> Update:
    """What is returned, from three training calls. Raises TargetError."""
    if not all(map(signature.is_open, BUFFERS)):
        return Update(find_y(signature.name, trials[0]), stored=False, last=signature.last)
    return replace(find_update(signature.name, trials), last=signature.last)


def fit_shape(signature: Signature, call: Callable[[Signature, Structure], Trial], base: Structure) -> Signature:
    """The signature, shaped where batches of more ranks return their own shape so, beside statistics of C values."""

    def count(one: Signature) -> int:
        return sum(_returns(lambda structure: call(one, structure), replace(base, rank=rank)) for rank in RANKS)

    shaped, flat = replace(signature, shaped=True), count(signature)
    return shaped if flat < len(RANKS) and count(shaped) > flat else signature


def _returns(call: Callable[[Structure], Trial], structure: Structure) -> bool:
    try:
        trial = call(structure)
    except (Exception, SystemExit):  # noqa: BLE001  (a trial: whatever was raised, it takes no such batch)
        return False
    y = next((path for path, array in trial.returned.items() if array.shape == trial.x.shape), None)
    others = [array.size for path, array in trial.returned.items() if path != y]
    return y is not None and (trial.written or not others or trial.given[0].size in others)


class Refusal(Exception):
    """No training call returns: what each raised."""


def try_out(call: Callable[[Structure, float, float], Trial], structures: Iterable[Structure]) -> list[Trial]:
    """A training call for each of `FILLS`, of the first structure of which they return. Raises Refusal."""
    reasons, first = dict[str, list[int]](), None
    for structure in structures:
        try:
            return [call(structure, mean, var) for mean, var in FILLS]
        except (Exception, SystemExit) as error:  # noqa: BLE001  (a trial: whatever was raised, it takes no such batch)
            first, text = first or error, str(error).strip().splitlines()
            reason = f"{type(error).__name__}: {text[0] if text else '(no message)'}"
            reasons.setdefault(reason, []).append(structure.rank)
    each = [f"{reason} (rank {', '.join(map(str, sorted(set(ranks))))})" for reason, ranks in reasons.items()]
    raise Refusal("raised " + "; ".join(each if len(each) > 1 else reasons)) from first
