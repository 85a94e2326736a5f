"""The teaching shape in NumPy: forward(x), backward(dy), gamma, beta, dgamma, dbeta and the running statistics."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import as_strided

from bnspec.layers.constructor import Constructor, read_fixed
from bnspec.layers.implementation import PROBED_SHAPES, Adapted
from bnspec.layers.promises import Promises
from bnspec.layers.protocol import (
    NONE,
    Array,
    Description,
    Grad,
    Gradients,
    Layer,
    State,
    Structure,
    SubjectError,
    as_dtype,
    calling,
)

HELD = ("gamma", "beta", "running_mean", "running_var")


def teaches(example: Any) -> bool:
    """Whether an object is a batch norm of this adapter's shape."""
    forward = callable(example) or callable(getattr(example, "forward", None))
    return forward and all(hasattr(example, name) for name in ("running_mean", "running_var", "gamma", "beta"))


def copy_layout(a: Array) -> Array:
    """A writable copy with the same strides; axes of stride 0 stay broadcast, and read-only."""
    if a.flags.c_contiguous:
        return a.copy()
    if a.size and any(stride == 0 and n > 1 for stride, n in zip(a.strides, a.shape, strict=True)):
        held = a[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in a.strides)]
        return np.broadcast_to(held.copy(), a.shape)
    extent = 1 + sum((n - 1) * (stride // a.itemsize) for n, stride in zip(a.shape, a.strides, strict=True))
    fresh = as_strided(np.zeros(extent, a.dtype), a.shape, a.strides)
    fresh[...] = a
    return fresh


def require_array(value: Any, stage: Any, what: str) -> Array:
    """`value` if it is an array; else SubjectError, which says what came instead."""
    if not isinstance(value, np.ndarray | np.generic):
        raise SubjectError(stage, f"{what} is a {type(value).__name__}, wanted a NumPy array")
    return np.asarray(value)


@dataclass
class NumpyPass:
    """Its backward must come before the layer's next forward: the cache is the layer's own."""

    layer: Any
    x: Array
    output: Array
    dy: Array | None = None

    @property
    def y(self) -> Array:
        return self.output.copy()

    def backward(self, dy: Array) -> Gradients:
        self.dy = copy_layout(dy)
        with calling("backward"), np.errstate(all="ignore"):
            answer = self.layer.backward(self.dy)
            if isinstance(answer, tuple) and len(answer) == 3:
                dx, dgamma, dbeta = answer
            else:
                dx = answer[0] if isinstance(answer, tuple) else answer
                dgamma, dbeta = self.layer.dgamma, self.layer.dbeta
        found = [require_array(v, "backward", name).copy() for v, name in ((dx, "dx"), (dgamma, "dgamma"), (dbeta, "dbeta"))]
        return Gradients(*found)

    def read(self, what: Literal["x", "y", "dy"]) -> Array:
        held = {"x": self.x, "y": self.output, "dy": self.dy}[what]
        if held is None:
            raise SubjectError("backward", "there was no upstream gradient yet")
        return held.copy()

    def describe(self) -> Description:
        return describe_array(self.output)


def describe_array(a: Array) -> Description:
    return Description(a.dtype.name, "cpu", a.shape, tuple(stride // a.itemsize for stride in a.strides))


@dataclass
class NumpyLayer:
    obj: Any

    def run(self, x: Array, *, training: bool, grad: Grad = NONE) -> NumpyPass:
        given = copy_layout(x)
        with calling("state"):
            switch = getattr(self.obj, "train" if training else "eval", None)
            if callable(switch):
                switch()
            else:
                self.obj.training = training
        with calling("forward"), np.errstate(all="ignore"):
            forward = getattr(self.obj, "forward", None) or self.obj
            output = require_array(forward(given), "forward", "the output")
        return NumpyPass(self.obj, given, output)

    def state(self) -> State:
        values = {}
        for name in HELD:
            with calling("state"):
                held = getattr(self.obj, name, None)
            values[name] = None if held is None else require_array(held, "state", name).copy()
        batches = getattr(self.obj, "batches", None)
        return State(**values, batches=int(batches) if isinstance(batches, int | np.integer) else None)

    def load(self, state: State) -> None:
        with calling("state"):
            for name in HELD:
                value = getattr(state, name)
                if value is not None:
                    setattr(self.obj, name, value.copy())
            if state.batches is not None and hasattr(self.obj, "batches"):
                self.obj.batches = state.batches

    def describe(self, what: Literal["running_mean", "running_var"]) -> Description | None:
        held = getattr(self.obj, what, None)
        return None if held is None else describe_array(require_array(held, "state", what))


def adapt_numpy(obj: Any, constructor: Constructor, example: Any) -> Adapted:
    """The implementation of a class, factory or instance of the teaching shape."""

    def make(structure: Structure) -> Layer:
        dtype = as_dtype(structure.dtype)
        with calling("construction"):
            made = constructor(structure, dtype.type, structure.device)
            for name in HELD:
                held = getattr(made, name, None)
                if isinstance(held, np.ndarray) and held.dtype != dtype:
                    setattr(made, name, held.astype(dtype))
        return NumpyLayer(made)

    abilities = {"evaluation", "initial_state", "running_statistics", "affine"}
    if callable(getattr(example, "backward", None)):
        abilities.add("gradients")
    eps, momentum = (read_fixed(obj, example, constructor, what) for what in ("eps", "momentum"))
    channels = None if constructor.takes_channels else int(np.size(example.running_mean))
    promises = Promises((), ("float32", "float64"), ("cpu",), frozenset(abilities), eps, momentum, channels)
    adapted = Adapted(promises, make, lambda: ["cpu"], lambda: {"numpy": np.__version__})
    if not (constructor.takes_dtype or hasattr(obj, "bnspec_dtypes") or _keeps_float32(adapted)):
        adapted.promises = replace(promises, dtypes=("float64",))
    return adapted


def _keeps_float32(adapted: Adapted) -> bool:
    """Whether a layer that cannot be told its dtype answers float32 in float32: only then is float32 promised."""
    fixed = adapted.promises
    for shape in PROBED_SHAPES.values():
        channels = fixed.channels or shape[1]
        structure = Structure(channels, len(shape), "float32", "cpu", fixed.eps or 1e-3, fixed.momentum or 0.1)
        try:
            passed = adapted.make(structure).run(
                np.random.RandomState(0).standard_normal((shape[0], channels, *shape[2:])).astype(np.float32), training=True
            )
        except SubjectError:
            continue
        return passed.describe().dtype == "float32"
    return False
