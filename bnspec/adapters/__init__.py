"""Adapters: functions that turn a framework's own batch norm into a layer of a shape that bnspec knows.

An adapter takes what the user named and gives a class, a factory or an instance of a known shape, or None where the
thing is none of its framework's. It knows no clause, and no clause knows it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any

from bnspec.layers.target import TargetError

GROUP = "bnspec.adapters"
"""The entry points by which other packages register theirs."""

Adapt = Callable[[Any], Any]


@dataclass(frozen=True)
class Row:
    """A module of this package that has a function `adapt`, and the library without which no object is its own."""

    module: str
    library: str


ROWS = (
    Row("torch_operators", "torch"),
    Row("flax_linen", "flax.linen"),
    Row("flax_nnx", "flax.nnx"),
    Row("haiku", "haiku"),
    Row("equinox", "equinox"),
    Row("mlx", "mlx.nn"),
    Row("keras", "keras"),
    Row("paddle", "paddle"),
    Row("tinygrad", "tinygrad"),
)


def adapt(obj: Any) -> Any:
    """What the first adapter that knows the object makes of it; the object itself where none does.

    Those of other packages come first. Raises TargetError where one of them cannot be imported or raises.
    """
    for found in _try_registered(obj):
        if found is not None:
            return found
    for row in ROWS:
        if row.library in sys.modules:
            own: Adapt = importlib.import_module(f"{__name__}.{row.module}").adapt
            found = own(obj)
            if found is not None:
                return found
    return obj


def _try_registered(obj: Any) -> Iterator[Any]:
    for entry in entry_points(group=GROUP):
        try:
            yield entry.load()(obj)
        except Exception as error:
            raise TargetError(
                f"the adapter {entry.name!r} ({entry.value}) raised {type(error).__name__}: {error}; mend it, or"
                " uninstall the package that registers it"
            ) from error
