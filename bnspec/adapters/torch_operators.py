"""torch's operators and scripted functions, which have a schema, autograd.Function, layers that wait for a batch."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload, OpOverloadPacket
from torch.autograd import Function
from torch.jit import ScriptFunction
from torch.nn.modules.batchnorm import _LazyNormBase

from bnspec.layers.signatures import has_statistics

DIALECTS = {"batch_norm": "torch-batch-norm"}
"""Of operators that do not speak that of native_batch_norm."""
REST = {"cudnn_enabled": False}
"""What they take besides."""
SHAPES = {1: (2, 2), 2: (2, 2, 1, 1), 3: (2, 2, 1, 1, 1)}
"""Batches for layers that wait for one, by the dimensions in their names."""


def adapt(obj: Any) -> Any:
    """An operator of `torch` or `torch.ops.aten` as a function, a lazy layer as a factory of those that it becomes."""
    if inspect.isclass(obj) and issubclass(obj, _LazyNormBase):
        return functools.partial(materialise, obj)
    operator = _find_operator(obj)
    function = _find_applied(obj) if operator is None else make_function(operator)
    return function if function is not None and has_statistics(function) else None


def _find_applied(obj: Any) -> Callable[..., Any] | None:
    """A subclass of autograd.Function, or its `apply`, as a function of what its `forward` takes besides a context."""
    owner = obj if inspect.isclass(obj) else getattr(obj, "__self__", None)
    if not (inspect.isclass(owner) and issubclass(owner, Function)):
        return None
    parameters = list(inspect.signature(owner.forward).parameters.values())
    if owner.setup_context is Function.setup_context:
        parameters = parameters[1:]

    def apply(**arguments: Any) -> Any:
        given = [p.name for p in parameters if p.name in arguments]
        return owner.apply(*(arguments[name] for name in given))  # type: ignore[no-untyped-call]  # torch leaves it untyped

    named = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    apply.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]  # what inspect reads
    apply.__name__ = apply.__qualname__ = f"{owner.__qualname__}.apply"
    return apply


def _find_operator(obj: Any) -> OpOverload | ScriptFunction[Any, Any] | None:
    """The operator with default values of a packet, or of a function of `torch` that is not Python; a scripted one."""
    if isinstance(obj, OpOverload | ScriptFunction):
        return obj
    if inspect.isbuiltin(obj):
        obj = getattr(torch.ops.aten, obj.__name__, None)
    return getattr(obj, "default", None) if isinstance(obj, OpOverloadPacket) else None


def make_function(operator: OpOverload | ScriptFunction[Any, Any]) -> Callable[..., Any]:
    """A Python function of the arguments that a schema has, those of `REST` by default."""

    def call(**arguments: Any) -> Any:
        return operator(**{**rest, **arguments})

    name, schema = _read_schema(operator)
    rest = {argument.name: REST[argument.name] for argument in schema.arguments if argument.name in REST}
    own = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    kind, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    parameters = [inspect.Parameter(a.name, kind, default=(own | rest).get(a.name, empty)) for a in schema.arguments]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect reads
    call.__name__ = call.__qualname__ = name
    if isinstance(operator, OpOverload):
        call.bnspec_dialect = DIALECTS.get(schema.name.partition("::")[2], "torch-native")  # type: ignore[attr-defined]  # a declaration
    return call


def _read_schema(operator: Any) -> tuple[str, Any]:
    """What it is called, and its arguments."""
    if isinstance(operator, OpOverload):
        return str(operator), operator._schema
    return operator.name, operator.schema


def materialise(
    lazy: type[nn.Module], num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, affine: bool = True,
    track_running_stats: bool = True, device: Any = None, dtype: Any = None,
) -> nn.Module:  # fmt: skip
    """A lazy layer that has met an evaluation batch of so many channels: only its class and its sizes have changed."""
    layer = lazy(eps, momentum, affine, track_running_stats, device=device, dtype=dtype)
    dimensions = next(d for d in SHAPES if f"{d}d" in lazy.__name__.lower())
    n, _, *positions = SHAPES[dimensions]
    with torch.no_grad():
        layer.eval()(torch.zeros(n, num_features, *positions, device=device, dtype=dtype))
    return layer.train()
