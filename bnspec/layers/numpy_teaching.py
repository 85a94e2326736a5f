"""Layers in NumPy as courses teach them: a forward that caches, then backward(dy), which leaves dgamma and dbeta."""

from __future__ import annotations

import copy
import functools
import pickle
import sys
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np

from bnspec.layers.adapter import Adapter, Names, put, write_down
from bnspec.layers.modes import Mode
from bnspec.layers.protocol import (
    NONE,
    Array,
    Description,
    Grad,
    Gradients,
    Stage,
    State,
    SubjectError,
    as_dtype,
    calling,
)
from bnspec.layers.strides import copy_layout

Backward = Callable[[Array], Sequence[Any]]
"""From dy to dx, dgamma and dbeta. Raises SubjectError."""

NAMES = Names("gamma", "beta", "running_mean", "running_var", "batches")


class NumPy:
    """NumPy, as adapters need it."""

    array = np.ndarray
    array_name = "numpy.ndarray"
    settings: Mapping[str, Mapping[str, Any]] = {}

    def native_dtype(self, name: str) -> np.dtype[Any]:
        return as_dtype(name)

    def name_dtype(self, native: Any) -> str:
        return str(np.dtype(native).name)

    def convert(self, subject: Any, names: Names, dtype: str | None, device: str | None) -> Any:
        """Each array of the layer that has another dtype is replaced by one of this."""
        for name in names.arrays if dtype is not None else ():
            values = getattr(subject, name, None)
            if isinstance(values, np.ndarray) and values.dtype != as_dtype(str(dtype)):
                setattr(subject, name, values.astype(as_dtype(str(dtype))))
        return subject

    def devices(self) -> list[str]:
        return ["cpu"]

    def environment(self) -> dict[str, str]:
        return {"numpy": np.__version__}

    def read_globals(self) -> dict[str, Any]:
        return {}

    def write_globals(self, values: Mapping[str, Any]) -> None:
        """There is nothing of its own."""

    def enter_child(self) -> None:
        """NumPy has no threads of its own, and its linear algebra takes care of forks."""


OWN_REFERENCES = 3
"""The attribute's, this module's variable and the argument of the count."""


class NumPyLayer:
    """The subject caches one forward: a backward must directly follow its own."""

    def __init__(self, subject: Any, mode: Mode) -> None:
        self._subject, self._mode = subject, mode
        self.told: bool | None = None  # the mode is told when it changes, as users do
        self._forwards = 0  # a number and not the latest pass, which would keep its batch alive (R8)

    def run(self, x: Array, *, training: bool, grad: Grad = NONE) -> NumPyPass:
        return self._pass(copy_array(x), training, grad)

    def _pass(self, native: Array, training: bool, grad: Grad) -> NumPyPass:
        self._forwards += 1
        with calling("forward"), np.errstate(all="ignore"):
            if self.told != training:
                self.switch(training)
            y, backward = self._forward(native, grad, training)
        return NumPyPass(native, check_array("forward", "returned", y), backward, grad)

    def _forward(self, native: Array, grad: Grad, training: bool) -> tuple[Any, Backward]:
        y = self._mode.run(self._subject, native, training)
        return y, functools.partial(self._differentiate, self._forwards)

    def state(self) -> State:
        with calling("state"):
            gamma, beta, mean, var = (None if (v := self._read(name)) is None else np.array(v) for name in NAMES.arrays)
            batches = getattr(self._subject, NAMES.batches, None)
            return State(gamma, beta, mean, var, None if batches is None else int(batches))

    def load(self, state: State, *, anew: bool = False) -> None:
        """Write what is not None; `anew` into new arrays, which lie in memory as those of `state` do."""
        with calling("state"):
            values = (state.gamma, state.beta, state.running_mean, state.running_var)
            for name, value in zip(NAMES.arrays, values, strict=True):
                if value is not None and getattr(self._subject, name, None) is not None:
                    self._write(name, value, anew=anew)
            if state.batches is not None and getattr(self._subject, NAMES.batches, None) is not None:
                setattr(self._subject, NAMES.batches, state.batches)

    def _write(self, name: str, value: Array, *, anew: bool = False) -> None:
        """In the shape that the subject has, (1, C) or (1, C, 1, 1) say.

        In place, because others may hold the array too, a list of parameters say; with `anew` only where they do. What
        has another size is replaced.
        """
        current = getattr(self._subject, name)
        fits = isinstance(current, np.ndarray) and current.size == value.size
        shaped = value.reshape(current.shape) if fits else value
        in_place = fits and name in getattr(self._subject, "__dict__", ())
        in_place = in_place and current.dtype == value.dtype and current.flags.writeable
        in_place = in_place and not (anew and sys.getrefcount(current) <= OWN_REFERENCES)
        if in_place or not put(self._subject, name, copy_array(shaped)):
            current[...] = shaped

    def rebind(self, state: State) -> None:
        self.load(state, anew=True)

    def switch(self, training: bool) -> None:
        with calling("state"):
            self._mode.set(self._subject, training)
            self.told = training

    def copy(self) -> Self:
        with calling("state"):
            return self._wrap(copy.deepcopy(self._subject))

    def travel(self) -> Self | None:
        with calling("state"):
            written = write_down(self._subject)
            return None if written is None else self._wrap(pickle.loads(written))

    def _wrap(self, subject: Any) -> Self:
        """A layer that is told no mode, if this one was told one: copies keep it."""
        layer = type(self)(subject, self._mode)
        layer.told = self.told
        return layer

    def describe(self, what: Literal["running_mean", "running_var"]) -> Description | None:
        with calling("state"):
            values = self._read(what)
            return None if values is None else describe_array(values)

    def _differentiate(self, forward: int, dy: Array) -> Sequence[Any]:
        """dx, or dx, dgamma and dbeta of the latest forward, by its number. Raises ValueError for an earlier one."""
        if forward != self._forwards:
            raise ValueError("another forward came in between: this layer keeps one, whose backward must come next")
        with calling("backward"), np.errstate(all="ignore"):
            returned = self._subject.backward(self._mode.give(dy))
            if isinstance(returned, tuple | list):
                return [*map(self._mode.take, returned[:1]), *returned[1:]]
            return (
                self._mode.take(returned),
                getattr(self._subject, "dgamma", None),
                getattr(self._subject, "dbeta", None),
            )

    def _read(self, name: str) -> Array | None:
        values = getattr(self._subject, name, None)
        return None if values is None else check_array("state", f"has as {name}", values)


class NumPyPass:
    """One forward of a layer, and its backward."""

    def __init__(self, x: Array, y: Array, backward: Backward, grad: Grad) -> None:
        self._native, self._backward, self._grad = {"x": x, "y": y}, backward, grad
        # At once, because a later call may overwrite what it handed out (E8).
        self._y = np.array(y, order="C")

    @property
    def x(self) -> Array:
        """The native input."""
        return self._native["x"]

    @property
    def y(self) -> Array:
        return self._y

    def backward(self, dy: Array) -> Gradients:
        self._native["dy"] = upstream = copy_array(dy)
        found = self._backward(upstream)
        if len(found) != 3:
            raise SubjectError("backward", f"returned {len(found)} values, wanted dx or (dx, dgamma, dbeta)")
        dx = check_array("backward", "returned as dx", found[0])
        rest = zip(found[1:], ("left as dgamma", "left as dbeta"), strict=True)
        dgamma, dbeta = (None if g is None else check_array("backward", where, g) for g, where in rest)
        self._native["dx"] = dx
        asked = (self._grad.x, self._grad.gamma, self._grad.beta)
        return Gradients(
            *(
                np.array(g) if g is not None and wanted else None
                for g, wanted in zip((dx, dgamma, dbeta), asked, strict=True)
            )
        )

    def read(self, what: Literal["x", "y", "dy"]) -> Array:
        return np.array(self._native[what], order="C")

    def watch(self) -> Callable[[], object]:
        return weakref.ref(self._native["x"])

    def describe(self, what: Literal["y", "dx"] = "y") -> Description:
        return describe_array(self._native[what])


def copy_array(values: Array) -> Array:
    """A copy of the same strides and offset in memory of its own; read-only where the original is."""
    laid = copy_layout(values)
    size = values.itemsize
    strides = tuple(stride * size for stride in laid.strides)
    copied: Array = np.ndarray(values.shape, values.dtype, laid.buffer.view(np.uint8).data, laid.offset * size, strides)
    copied.flags.writeable = values.flags.writeable
    return copied


def describe_array(values: Array) -> Description:
    """An array of NumPy holds no graph."""
    strides = tuple(stride // values.itemsize for stride in values.strides)
    return Description(str(values.dtype), "cpu", values.shape, strides)


def check_array(stage: Stage, verb: str, values: Any) -> Array:
    """What the subject handed over, an array of numbers. Raises SubjectError."""
    if not isinstance(values, np.ndarray):
        raise SubjectError(stage, f"{verb} a {type(values).__name__}, wanted a numpy.ndarray")
    if values.dtype.kind in "OSUMm":
        raise SubjectError(stage, f"{verb} an array of dtype {values.dtype}, wanted one of numbers")
    return values


ADAPTER = Adapter(
    framework=NumPy(),
    names=NAMES,
    dialect=None,  # the shape tells nothing about the conventions
    dtypes=("float64",),
    probed_dtypes=("float32",),
    low_dtypes=(),
    devices=("cpu",),
    ranks=lambda _: None,
    cumulative=lambda _: False,
    abilities=frozenset({"gradients", "copies"}),
    lifecycle=lambda _: frozenset(),
    methods={"gradients": "backward"},
    make_layer=lambda subject, _, mode: NumPyLayer(subject, mode),
)
