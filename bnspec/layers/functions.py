"""Functions that are batch norms: found by the names of their parameters, called with the arrays that they take."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import CodeType
from typing import Any

from bnspec.layers.implementation import Implementation
from bnspec.layers.numpy_functions import resolve_held, resolve_numpy_function
from bnspec.layers.signatures import Refusal, Signature, read_signature
from bnspec.layers.target import TargetError, tell_install

Resolve = Callable[[Signature, frozenset[str]], Implementation]


def resolve_function(function: Any, arguments: dict[str, Any], without: frozenset[str]) -> Implementation:
    """An implementation from a function of NumPy arrays, torch tensors or JAX arrays: by what it calls, what returns.

    Raises TargetError.
    """
    signature, refusals = read_signature(function, arguments), []
    for arrays, attempt in _order(function):
        try:
            return attempt(signature, without)
        except Refusal as refusal:
            refusals.append(f"with {arrays} it {refusal}")
        except ModuleNotFoundError as error:
            missing = str(error.name)
            refusals.append(f"for a call with {arrays} {missing!r} is not installed: {tell_install(missing)}")
    told = f"no training call of {signature.name} returns: {'; '.join(dict.fromkeys(refusals))}"
    raise TargetError(told + ("" if signature.last else _advise(function, replace(signature, last=True), without)))


def _advise(function: Any, moved: Signature, without: frozenset[str]) -> str:
    """What would help one that takes its batches with the channel on the last axis."""
    for _, attempt in _order(function):
        try:
            attempt(moved, without)
        except (Refusal, TargetError, ModuleNotFoundError):
            continue
        return "; with the channel on the last axis one does: declare bnspec_channels_last = True on the function"
    return ""


def _order(function: Any) -> list[tuple[str, Resolve]]:
    """JAX alone where the function calls it, NumPy first where it calls that and not torch or knows nothing of torch.

    Tensors that need a gradient come before arrays, as a function of either may take both.
    """
    arrays, tensors = ("NumPy arrays", resolve_numpy_function), ("torch tensors", _with_tensors)
    homes = set(_list_homes(function))
    if "jax" in homes:
        return [("JAX arrays", _with_jax)]
    first = "torch" not in homes and ("numpy" in homes or not _knows_torch(function))
    plain = ("torch tensors", functools.partial(_with_tensors, grad=False))
    return [arrays, tensors, plain] if first else [tensors, arrays, plain]


def _with_jax(signature: Signature, without: frozenset[str]) -> Implementation:
    from bnspec.adapters.jax_functions import HeldInJax

    return resolve_held(signature, without, HeldInJax, "JAX arrays")


def _with_tensors(signature: Signature, without: frozenset[str], *, grad: bool = True) -> Implementation:
    from bnspec.layers.torch_functions import resolve_torch_function

    return resolve_torch_function(signature, without, grad=grad)


def _list_homes(function: Any) -> Iterator[str]:
    """The packages of the globals that a function's code and annotations name, and those of functions beside it."""
    waiting, seen = [_unwrap(function)], set()
    while waiting:
        one = waiting.pop()
        code, known = getattr(one, "__code__", None), getattr(one, "__globals__", {})
        if not isinstance(code, CodeType) or code in seen:
            continue
        seen.add(code)
        hints = list(getattr(one, "__annotations__", {}).values())
        names = [*_list_names(code), *(hint.partition(".")[0] for hint in hints if isinstance(hint, str))]
        values = [*(known[name] for name in names if name in known), *hints]
        yield from map(_home, values)
        waiting += [value for value in map(_unwrap, values) if getattr(value, "__globals__", None) is known]


def _list_names(code: CodeType) -> Iterator[str]:
    """Those of a function's code, and of the functions that are written in it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _list_names(constant)


def _knows_torch(function: Any) -> bool:
    """Does the module of the function import torch, or something of it? What is not Python at all is torch's own."""
    known = getattr(_unwrap(function), "__globals__", None)
    if known is None:
        return "torch" in sys.modules
    return any(_home(value) == "torch" for value in list(known.values()))


def _unwrap(function: Any) -> Any:
    inner = getattr(function, "func", function)
    return getattr(inner, "__wrapped__", inner)


def _home(value: Any) -> str:
    """The package that something is of."""
    home = getattr(value, "__module__", None) or getattr(value, "__name__", None)
    return home.partition(".")[0] if isinstance(home, str) else ""
