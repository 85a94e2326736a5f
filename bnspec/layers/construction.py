"""Where layers come from: a class or factory called with a number of channels, or copies of one instance."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from numbers import Real
from typing import Any, Protocol

from bnspec.layers.protocol import Structure
from bnspec.layers.target import TargetError, suggest

CHANNEL_NAMES = ("num_features", "dim", "channels", "num_channels", "features", "n_features", "size", "C")
EPS_NAMES = ("eps", "epsilon")
MOMENTUM_NAMES = ("momentum", "exponential_average_factor", "decay_rate", "decay")
PARAMETER_NAMES = ("gamma", "beta", "weight", "bias", "running_mean", "running_var")
MODE_NAMES = ("training", "train", "is_training", "train_flg")
TRACKING, AFFINE, BIAS, SCALE = "track_running_stats", "affine", "bias", "scale"
OPTIONS = (TRACKING, AFFINE, BIAS, SCALE)
LACKING = {
    TRACKING: ("running_mean", "running_var"), AFFINE: ("weight", "gamma", "bias", "beta"), BIAS: ("bias", "beta"),
    SCALE: ("weight", "gamma"),
}  # fmt: skip
"""The attributes that are None or absent where an option is False."""
RANK = "num_dims"
SETTINGS = (*EPS_NAMES, *MOMENTUM_NAMES, RANK, "dtype", "device", *OPTIONS)


class Source(Protocol):
    """Makes the subject's own layers. `takes` tells whether channels, eps or one of `SETTINGS` can be chosen."""

    @property
    def name(self) -> str: ...

    @property
    def fixed(self) -> dict[str, Any]:
        """Which of channels, eps, momentum and dtype the user gave, and what."""

    @property
    def defaults(self) -> dict[str, Any]:
        """What eps and momentum are where nobody gives them, as far as a signature says."""

    def takes(self, setting: str) -> bool: ...

    def build(self, structure: Structure, **native: Any) -> Any:
        """A new layer; `native` holds the framework's dtype and device. What the subject raises passes through."""

    def tell(self, structure: Structure, **native: Any) -> str:
        """How `build` calls the subject, in Python."""


@dataclass(frozen=True)
class Template:
    """Deep copies of an instance: channels, eps and momentum are its own."""

    instance: Any

    @property
    def name(self) -> str:
        return type(self.instance).__qualname__

    @property
    def fixed(self) -> dict[str, Any]:
        return {}

    @property
    def defaults(self) -> dict[str, Any]:
        return {}

    def takes(self, setting: str) -> bool:
        return False

    def build(self, structure: Structure, **native: Any) -> Any:
        return copy.deepcopy(self.instance)

    def tell(self, structure: Structure, **native: Any) -> str:
        return f"copy.deepcopy({self.name})"


@dataclass(frozen=True)
class Construction:
    """Calls of a class or factory. `channels` names the parameter for their number: "" the first place, None none.

    A parameter `RANK` is told the rank of the batches.
    """

    maker: Callable[..., Any]
    name: str
    arguments: dict[str, Any]
    channels: str | None
    settings: frozenset[str]

    @property
    def eps_name(self) -> str | None:
        return next((name for name in EPS_NAMES if name in self.settings), None)

    @property
    def momentum_name(self) -> str | None:
        return next((name for name in MOMENTUM_NAMES if name in self.settings), None)

    @property
    def fixed(self) -> dict[str, Any]:
        given = {"channels": self.channels, "eps": self.eps_name, "momentum": self.momentum_name, "dtype": "dtype"}
        return {what: self.arguments[name] for what, name in given.items() if name in self.arguments}

    @property
    def defaults(self) -> dict[str, Any]:
        return read_defaults(self.maker, {"eps": self.eps_name or "", "momentum": self.momentum_name or ""})

    def takes(self, setting: str) -> bool:
        if setting == "channels":
            return self.channels is not None
        if setting in OPTIONS and setting in self.arguments:
            return False
        names = {"eps": self.eps_name, "momentum": self.momentum_name}
        return names[setting] is not None if setting in names else setting in self.settings

    def without(self, setting: str) -> Construction:
        return replace(self, settings=self.settings - {setting})

    def build(self, structure: Structure, **native: Any) -> Any:
        positional, named = self._arguments(structure, native)
        return self.maker(*positional, **named)

    def tell(self, structure: Structure, **native: Any) -> str:
        positional, named = self._arguments(structure, native)
        return f"{self.name}({', '.join([*map(repr, positional), *(f'{k}={v!r}' for k, v in named.items())])})"

    def _arguments(self, structure: Structure, native: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
        named: dict[str, Any] = {}
        if self.channels:
            named[self.channels] = structure.channels
        if self.eps_name is not None:
            named[self.eps_name] = structure.eps
        if self.momentum_name is not None:
            named[self.momentum_name] = structure.momentum
        if RANK in self.settings:
            named[RANK] = structure.rank
        return [structure.channels] if self.channels == "" else [], named | native | self.arguments


def read_construction(maker: Callable[..., Any], arguments: dict[str, Any]) -> Construction:
    """Read the signature of a class or factory, once. `arguments` go with every call. Raises TargetError."""
    name = name_of(maker)
    parameters = read_parameters(maker)
    if parameters is None:
        raise TargetError(f"{name} has no signature that Python can read: wrap it in a function with named parameters")
    kinds = {p.kind for p in parameters.values()}
    open_ended = inspect.Parameter.VAR_KEYWORD in kinds
    check_arguments(name, arguments, parameters, open_ended)
    plain = [p for p in parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    required = [p for p in plain if p.default is p.empty and p.name not in SETTINGS and p.name not in arguments]
    named = next((p for p in plain if p.name in CHANNEL_NAMES), None)
    channels: str | None
    if named is not None and (named in required or not required or named.name in arguments):
        channels = named.name
    elif required:
        channels = "" if required[0].kind is required[0].POSITIONAL_ONLY else required[0].name
    else:
        channels = "" if inspect.Parameter.VAR_POSITIONAL in kinds else None
    if required and all(p.name in PARAMETER_NAMES for p in required[:2]) and len(required) > 1:
        given = ", ".join(f"{p.name}=..." for p in required)
        raise TargetError(
            f"{name} is constructed with {' and '.join(p.name for p in required)}: name a function of the number of"
            f" channels that makes one, def layer(num_features, eps=1e-5, momentum=0.1): return {name}({given})"
        )
    for missing in required:
        if missing.name != channels and not (channels == "" and missing is required[0]):
            raise TargetError(
                f"{name} needs a value for {missing.name!r} besides the number of channels:"
                f" give it, --arg {missing.name}=VALUE"
            )
    settings = frozenset(SETTINGS) & ({p.name for p in plain} if not open_ended else frozenset(SETTINGS))
    construction = Construction(maker, name, arguments, channels, settings)
    return _try_settings(construction, {p.name for p in plain}) if open_ended else construction


def read_parameters(maker: Callable[..., Any]) -> dict[str, inspect.Parameter] | None:
    """The parameters by name; None where Python cannot read a signature."""
    try:
        return dict(inspect.signature(maker).parameters)
    except (TypeError, ValueError):
        return None


def read_defaults(maker: Callable[..., Any], names: Mapping[str, str]) -> dict[str, float | None]:
    """By setting, the default of the parameter that has the name, where there is one that is None or a number."""
    parameters, numbers = read_parameters(maker) or {}, dict[str, float | None]()
    for setting, name in names.items():
        default: Any = parameters[name].default if name in parameters else inspect.Parameter.empty
        try:
            numbers[setting] = None if default is None else float(default)
        except Exception:  # noqa: BLE001  (whatever stands there, it is no number)
            continue
    return numbers


def check_arguments(name: str, arguments: dict[str, Any], parameters: dict[str, Any], open_ended: bool = False) -> None:
    """Every argument has a parameter to go to. Raises TargetError."""
    for argument in arguments:
        if argument not in parameters and not open_ended:
            raise TargetError(f"{name} has no parameter {argument!r}{suggest(argument, parameters)}")


def name_of(target: Any) -> str:
    """What messages call a class, a function, a partial or an instance."""
    inner = getattr(target, "func", target)
    return str(getattr(inner, "__qualname__", type(inner).__qualname__))


def _try_settings(construction: Construction, named: set[str]) -> Construction:
    """**kwargs do not tell what they take: leave out, one by one, what a call refuses or swallows."""
    trial = Structure(3, 2, "float32", "cpu", 0.0123, 0.0456)  # numbers that nobody has as a default
    # dtype and device stand for themselves: None is what frameworks take for their default.
    native = {"dtype": None, "device": None, **dict.fromkeys(OPTIONS, False)}
    for setting in SETTINGS:
        if setting in named:
            continue
        alone = replace(construction, settings=frozenset({setting} | (named & set(SETTINGS))))
        try:
            made = alone.build(trial, **({setting: native[setting]} if setting in native else {}))
            taken = _shows(setting, made, trial)
        except (Exception, SystemExit):  # noqa: BLE001  (a trial: whatever was raised, the setting is not taken)
            taken = False
        construction = construction if taken else construction.without(setting)
    return construction


def _shows(setting: str, made: Any, trial: Structure) -> bool:
    """Can the object be seen to have taken the setting? What is read from **kwargs by another name raises nothing."""
    if setting in (*EPS_NAMES, *MOMENTUM_NAMES):
        value = trial.eps if setting in EPS_NAMES else trial.momentum
        return value is not None and _holds(made, (value, 1 - value))
    if setting in LACKING:
        return all(getattr(made, name, None) is None for name in LACKING[setting])
    return True


def _holds(thing: Any, numbers: tuple[float, ...], depth: int = 3) -> bool:
    """Is one of the numbers among the attributes of an object, or of what it holds?"""
    if isinstance(thing, Real):
        return any(abs(float(thing) - number) < 1e-9 for number in numbers)
    inner = thing if isinstance(thing, dict) else getattr(thing, "__dict__", {})
    return depth > 0 and any(_holds(each, numbers, depth - 1) for each in list(inner.values()))
