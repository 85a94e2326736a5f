"""From a target to an implementation: found by the shape of what the target is, never by its name."""

from __future__ import annotations

import functools
import importlib
import inspect
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from bnspec.layers.adapter import Adapter, Framework, read_attribute
from bnspec.layers.construction import Construction, Source, Template, name_of, read_construction, read_parameters
from bnspec.layers.declarations import Declarations, check_abilities, read_declarations, read_number
from bnspec.layers.probing import CHANNELS, find_call, probe_ranks, try_call
from bnspec.layers.promises import Promises
from bnspec.layers.protocol import Layer, Structure, SubjectError, calling
from bnspec.layers.target import TargetError


@dataclass(frozen=True)
class Implementation:
    """What a target resolves to. `dialect_source` is "the target" or "the adapter", None where neither has a dialect."""

    name: str
    dialect: str | None
    dialect_source: str | None
    promises: Promises
    maker: Callable[[Structure], Layer]
    framework: Framework

    def make(self, structure: Structure) -> Layer:
        """A new layer. Raises SubjectError of stage construction."""
        with calling("construction"):
            return self.maker(structure)

    def devices(self) -> list[str]:
        """The devices of this machine of the promised kinds: "cpu", "cuda:0", ..."""
        return [device for device in self.framework.devices() if device.partition(":")[0] in self.promises.devices]

    def environment(self) -> dict[str, str]:
        """Versions of the framework, threads and device names."""
        return self.framework.environment()


@dataclass(frozen=True)
class Shape:
    """A known shape of target: the module that adapts it, the framework whose arrays it holds, and the shape in words."""

    module: str
    framework: str
    words: str


FUNCTIONS = Shape(
    "torch_functions",
    "torch",
    "a function with the parameters of torch.nn.functional.batch_norm (input or x, running_mean, running_var, training)",
)
OBJECTS = (
    Shape(
        "torch_modules",
        "torch",
        "a class, factory or instance with the attributes of torch.nn.BatchNorm1d (weight, bias, running_mean, running_var)",
    ),
    Shape("torch_seed", "torch", "one whose tensors are gamma, beta, running_mean, running_var"),
    Shape("numpy_teaching", "numpy", "one whose NumPy arrays are so called, with backward(dy)"),
)


def resolve(
    obj: Any, arguments: dict[str, Any] | None = None, without: frozenset[str] = frozenset()
) -> Implementation:
    """Find out how to make layers with a target, and what it promises; probe what nobody declares.

    `arguments` go to the constructor and fix what they set; `without` names abilities that are left out. Raises
    TargetError where the target has no known shape, a declaration is wrong, or no call at all returns.
    """
    check_abilities(without, "--without")
    arguments = arguments or {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a subject warns of while it is tried out is no news of the suite
        parameters = {} if inspect.isclass(obj) else read_parameters(obj) or {}
        if {"running_mean", "running_var"} <= parameters.keys():
            return _import_adapter(FUNCTIONS).resolve_function(obj, arguments, without)  # type: ignore[no-any-return]
        return _resolve_object(obj, arguments, without)


def conclude(
    name: str,
    declared: Declarations,
    dialect: str | None,
    promises: Promises,
    maker: Callable[[Structure], Layer],
    framework: Framework,
    tell: Callable[[Structure], str],
    base: Structure,
) -> Implementation:
    """Check that one call returns at all, and put an implementation together. Ranks of () are probed."""
    implementation = Implementation(
        name,
        declared.dialect or dialect,
        "the target" if declared.dialect else "the adapter" if dialect else None,
        promises,
        maker,
        framework,
    )
    base = replace(base, dtype=promises.dtypes[0])
    ranks = promises.ranks or probe_ranks(implementation.make, base)
    called = find_call(implementation.make, base, ranks or RANKS, promises.dtypes, tell)
    return replace(implementation, promises=replace(promises, ranks=ranks or (called.rank,)))
