"""How layers of a target are made: which of its parameters take channels, eps, momentum, dtype and device."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bnspec.layers.protocol import Structure
from bnspec.layers.target import TargetError

EPS_NAMES = ("eps", "epsilon")


@dataclass(frozen=True)
class Constructor:
    """Makes a layer for a structure; `fixed` arguments came from the user and win.

    `eps_name`, `takes_momentum`, `takes_dtype` and `takes_device` say what the target's signature has.
    """

    call: Callable[..., Any]
    takes_channels: bool
    eps_name: str | None
    takes_momentum: bool
    takes_dtype: bool
    takes_device: bool
    fixed: Mapping[str, Any]

    def __call__(self, structure: Structure, dtype: Any, device: Any) -> Any:
        arguments: dict[str, Any] = {}
        if self.eps_name:
            arguments[self.eps_name] = structure.eps
        if self.takes_momentum:
            arguments["momentum"] = structure.momentum
        if self.takes_dtype:
            arguments["dtype"] = dtype
        if self.takes_device:
            arguments["device"] = device
        arguments.update(self.fixed)
        return self.call(structure.channels, **arguments) if self.takes_channels else self.call()


def read_constructor(obj: Any, arguments: Mapping[str, Any]) -> Constructor:
    """The constructor of a class, a factory or an instance. Raises TargetError where an argument is missing or unknown."""
    if not (isinstance(obj, type) or inspect.isroutine(obj)):
        if arguments:
            raise TargetError("--arg gives constructor arguments, but the target is an instance: name its class instead")
        return Constructor(lambda: copy.deepcopy(obj), False, None, False, False, False, {})
    parameters = _read_parameters(obj)
    open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters)
    named = [p for p in parameters if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    names = [p.name for p in named]
    unknown = [key for key in arguments if key not in names and not open_ended]
    if unknown:
        raise TargetError(f"the target takes no argument {unknown[0]!r}: it takes {', '.join(names) or 'none'}")
    required = [p.name for p in named[1:] if p.default is p.empty and p.name not in arguments]
    required = [name for name in required if name not in (*EPS_NAMES, "momentum", "dtype", "device")]
    if required:
        raise TargetError(
            f"the target needs an argument {required[0]!r}: give it by --arg {required[0]}=..., as a Python literal"
        )
    eps = next((name for name in EPS_NAMES if name in names), "eps" if open_ended else None)
    return Constructor(
        obj, bool(parameters), eps, "momentum" in names or open_ended, "dtype" in names, "device" in names, dict(arguments)
    )


def _read_parameters(obj: Any) -> list[inspect.Parameter]:
    """The parameters after self; of the nearest base that names them where a class only hands them on."""
    for owner in getattr(obj, "__mro__", (obj,)):
        try:
            parameters = list(inspect.signature(owner).parameters.values())
        except (TypeError, ValueError):
            continue
        if any(p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL) for p in parameters):
            return parameters
    return [inspect.Parameter("channels", inspect.Parameter.POSITIONAL_ONLY)]


def read_fixed(obj: Any, example: Any, constructor: Constructor, what: str) -> float | None:
    """The value of eps or momentum where it cannot be chosen, or None where it can. Raises TargetError if undeclared."""
    names = EPS_NAMES if what == "eps" else ("momentum",)
    given = [constructor.fixed[name] for name in names if name in constructor.fixed]
    if given:
        return None if given[0] is None else float(given[0])
    chosen = constructor.eps_name is not None if what == "eps" else constructor.takes_momentum
    if chosen:
        return None
    declared = getattr(obj, f"bnspec_{what}", None)
    if declared is None:
        declared = next((value for name in names if (value := getattr(example, name, None)) is not None), None)
    if declared is None:
        raise TargetError(
            f"the target's {what} is not known: its constructor takes none and its layers have no attribute {what!r};"
            f" declare it as bnspec_{what} = ... on the target"
        )
    return float(declared)
