"""Functions that are batch norms: found by the names of their parameters, called with the arrays that they take."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

from bnspec.layers.implementation import Implementation
from bnspec.layers.numpy_functions import find_numpy_update, make_class
from bnspec.layers.objects import resolve_object
from bnspec.layers.signatures import Signature, Update, read_signature
from bnspec.layers.target import TargetError, tell_install


def resolve_function(function: Any, arguments: dict[str, Any], without: frozenset[str]) -> Implementation:
    """An implementation from a function, of tensors where its module knows torch, else of NumPy arrays if it can.

    Raises TargetError.
    """
    signature = read_signature(function, arguments)
    first = None if _knows_torch(function) else _try_numpy(signature, without)
    if first is not None:
        return first
    try:
        from bnspec.layers.torch_functions import find_torch_update, resolve_torch_function
    except ModuleNotFoundError as error:
        raise TargetError(
            f"no call of {signature.name} with NumPy arrays gives one, and {error.name!r} is not installed, for a call"
            f" with tensors: {tell_install(str(error.name))}"
        ) from error
    update = find_torch_update(signature, grad=True)
    second = _try_numpy(signature, without) if update is None else None
    if second is not None:
        return second
    update = update or find_torch_update(signature, grad=False) or Update()
    return resolve_torch_function(signature, update, without)


def _try_numpy(signature: Signature, without: frozenset[str]) -> Implementation | None:
    """None where no call with arrays gives one."""
    update = find_numpy_update(signature)
    if update is None:
        return None
    made = resolve_object(make_class(signature, update), {}, without)
    return replace(made, name=signature.name, understood=signature.tell("NumPy arrays", update.words))


def _knows_torch(function: Any) -> bool:
    """Does the module of the function import torch, or something of it? What is not Python at all is torch's own."""
    inner = getattr(function, "func", function)
    inner = getattr(inner, "__wrapped__", inner)
    known = getattr(inner, "__globals__", None)
    if known is None:
        return "torch" in sys.modules
    return any(_is_torch(value) for value in list(known.values()))


def _is_torch(value: Any) -> bool:
    home = getattr(value, "__module__", None) or getattr(value, "__name__", None)
    return isinstance(home, str) and home.partition(".")[0] == "torch"
