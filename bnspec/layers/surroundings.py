"""What a subject shares with the rest of its process: looked at, and put back after each case."""

from __future__ import annotations

import os
import random
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from bnspec.layers.adapter import Framework

Surroundings = Mapping[str, Any]
"""Values by what they are in words."""


def look(framework: Framework) -> Surroundings:
    """The state of the process that a layer may read and must leave alone."""
    return {**{name: read() for name, (read, _) in _SHARED.items()}, **framework.read_globals()}


def tell_changes(before: Surroundings, after: Surroundings) -> list[str]:
    """What differs, in words."""
    return [name for name, value in before.items() if value != after[name]]


@contextmanager
def preserving(framework: Framework) -> Iterator[None]:
    """Put back afterwards what a subject changes meanwhile."""
    before = look(framework)
    try:
        yield
    finally:
        changes = tell_changes(before, look(framework))
        for name in changes:
            if name in _SHARED:
                _SHARED[name][1](before[name])
        framework.write_globals({name: before[name] for name in changes if name not in _SHARED})


def _read_numpy_random() -> tuple[Any, ...]:
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002  # the state that old code shares
    return (kind, np.asarray(keys).tobytes(), *rest)


def _write_numpy_random(state: tuple[Any, ...]) -> None:
    kind, keys, *rest = state
    np.random.set_state((kind, np.frombuffer(keys, np.uint32), *rest))  # noqa: NPY002  # as above


def _read_directory() -> str:
    try:
        return os.getcwd()  # noqa: PTH109  # a text, as a removed folder has no path
    except FileNotFoundError:
        return ""


def _write_filters(filters: list[Any]) -> None:
    warnings.filters[:] = filters  # type: ignore[index]  # typed as a sequence, and a list
    warnings.simplefilter("default", append=True)  # tells the registry, as a slice does not
    warnings.filters[:] = filters  # type: ignore[index]  # as above


def _write_errors(treatment: dict[str, Any]) -> None:
    np.seterr(**treatment)


_SHARED: dict[str, tuple[Callable[[], Any], Callable[[Any], None]]] = {
    "Python's random numbers": (random.getstate, random.setstate),
    "NumPy's random numbers": (_read_numpy_random, _write_numpy_random),
    "the working directory": (_read_directory, os.chdir),
    "the filters of warnings": (lambda: list(warnings.filters), _write_filters),
    "NumPy's treatment of errors": (np.geterr, _write_errors),
}
