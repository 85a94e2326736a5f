"""torch's own operators, which have a schema where functions have a signature, and layers that wait for a batch."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch._ops import OpOverload, OpOverloadPacket
from torch.nn.modules.batchnorm import _LazyNormBase

from bnspec.layers.signatures import is_batch_norm

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
    function = None if operator is None else make_function(operator)
    return function if function is not None and is_batch_norm(function) else None


def _find_operator(obj: Any) -> OpOverload | None:
    """The operator with default values of a packet, or of a function of `torch` that is not Python."""
    if isinstance(obj, OpOverload):
        return obj
    if inspect.isbuiltin(obj):
        obj = getattr(torch.ops.aten, obj.__name__, None)
    return getattr(obj, "default", None) if isinstance(obj, OpOverloadPacket) else None


def make_function(operator: OpOverload) -> Callable[..., Any]:
    """A Python function of the operator's arguments, those of `REST` by default."""

    def call(**arguments: Any) -> Any:
        return operator(**{**rest, **arguments})

    names = [argument.name for argument in operator._schema.arguments]
    rest = {name: value for name, value in REST.items() if name in names}
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(n, kind, default=rest.get(n, inspect.Parameter.empty)) for n in names]
    call.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect reads
    call.__name__ = call.__qualname__ = str(operator)
    call.bnspec_dialect = DIALECTS.get(operator._schema.name.partition("::")[2], "torch-native")  # type: ignore[attr-defined]  # a declaration
    return call


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
