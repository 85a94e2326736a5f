"""Functions with the signature of torch.nn.functional.batch_norm, told by the names of their parameters."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from bnspec.layers.adapter import Names
from bnspec.layers.construction import EPS_NAMES, check_arguments, name_of, read_defaults, read_parameters
from bnspec.layers.declarations import check_abilities, fix_eps, fix_momentum, read_declarations
from bnspec.layers.implementation import Implementation, Unproven, complete, leave_out
from bnspec.layers.promises import Promises, pick_momentum
from bnspec.layers.protocol import Layer, Structure
from bnspec.layers.target import TargetError
from bnspec.layers.torch_layer import TorchLayer
from bnspec.layers.torch_tensors import LOW, TORCH

NAMES = Names("gamma", "beta", "running_mean", "running_var", "batches")

# What each argument of a call is named by; the first name that the function has is taken.
PARAMETERS: dict[str, tuple[str, ...]] = {
    "x": ("input", "x"),
    "running_mean": ("running_mean",),
    "running_var": ("running_var",),
    "gamma": ("weight", "gamma"),
    "beta": ("bias", "beta"),
    "training": ("training",),
    "momentum": ("momentum",),
    "eps": EPS_NAMES,
}


def resolve_function(
    function: Callable[..., Any], arguments: dict[str, Any], without: frozenset[str]
) -> Implementation:
    """An implementation from a function; its layers hold parameters and buffers for it. Raises TargetError."""
    name, parameters = name_of(function), read_parameters(function) or {}
    declared = read_declarations(function, getattr(function, "func", None))
    without = check_abilities(without, "--without") | set(declared.without)
    check_arguments(name, arguments, parameters)
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
    given = {role: (bound | arguments)[n] for role, n in roles.items() if n in bound | arguments}
    eps = fix_eps(name, given, declared, bool(roles["eps"]))
    momentum = fix_momentum(given, declared, bool(roles["momentum"]))
    if momentum == "average":
        raise TargetError(
            f"the momentum of {name} is fixed at None, the plain average, and a function has no count of batches to"
            " average by: leave momentum open, or name a class"
        )
    affine = {role for role in ("gamma", "beta") if roles[role]}
    affine |= {"affine"} if len(affine) == 2 else set()
    if len(affine) == 3 and all(parameters[roles[role]].default is None for role in ("gamma", "beta")):
        affine |= {"unscaled", "unshifted"}
    promises = Promises(
        ranks=declared.ranks or (),
        dtypes=declared.dtypes or ("float32", "float64"),
        devices=declared.devices or ("cpu", "cuda"),
        abilities=frozenset(
            {"gradients", "gradient_subsets", "memory_formats", "reentrance", "second_order", "forward_mode"}
            | {"running_statistics", "evaluation"}
            | affine
        ),
        eps=eps,
        momentum=momentum,
        algorithm=declared.algorithm,
        reproducible=declared.reproducible,
    )
    draft = Implementation(
        name,
        declared.dialect or "torch",
        "the target" if declared.dialect else "the adapter",
        leave_out(promises, without),
        Maker(function, roles, bound | arguments, positional),
        TORCH,
        declared.versions,
        declared.forks,
        declared.compiles,
        declared.channel_axis,
        read_defaults(function, {setting: roles[setting] for setting in ("eps", "momentum")}),
    )
    base = Structure(3, 2, "float32", "cpu", 1e-5 if eps is None else eps, pick_momentum(promises, 0.1))
    return complete(draft, base, Unproven(() if declared.dtypes else LOW), lambda _: name)


@dataclass(frozen=True)
class Maker:
    """Makes layers for a function whose parameter for each role is `roles[role]`, "" where it has none.

    `positional` are those that it does not take by name, in their order.
    """

    function: Callable[..., Any]
    roles: dict[str, str]
    arguments: dict[str, Any]
    positional: tuple[str, ...]

    def __call__(self, structure: Structure) -> Layer:
        native = {"dtype": TORCH.native_dtype(structure.parameters), "device": structure.device}
        ones, zeros = (functools.partial(make, structure.channels, **native) for make in (torch.ones, torch.zeros))
        gamma, beta = (
            (ones() if structure.affine else None),
            (zeros() if structure.affine and structure.shifted else None),
        )
        holder = SimpleNamespace(gamma=gamma, beta=beta, running_mean=zeros(), running_var=ones())
        settings = {"eps": structure.eps, "momentum": structure.momentum}

        def call(x: Tensor, training: bool) -> Any:
            values = {**vars(holder), **settings, "x": x, "training": training}
            named = {name: values[role] for role, name in self.roles.items() if name} | self.arguments
            positional = [named.pop(name) for name in self.positional if name in named]
            return self.function(*positional, **named)

        return TorchLayer(holder, NAMES, structure.device, call)
