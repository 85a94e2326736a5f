"""A tanh network in NumPy around layers under test: z = W h, y = layer(z), h = tanh(y), layer upon layer.

Features are channels, and examples the m values of a channel, whatever the rank: a batch is a matrix (C, m) that is
laid out in the case's shape for the layer alone. Everything but the layers is float64.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.batches import dtype_of
from bnspec.cases.case import Case
from bnspec.cases.fills import cast
from bnspec.cases.layouts import channel_major, from_channel_major
from bnspec.layers.protocol import NONE, Array, Grad, Gradients, Layer, Pass, State, SubjectError
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents

from ..acting import Stage, shaped
from ..expected import ExpectedPass, expect_training

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Normaliser:
    """A layer under test at its place in a network, and the state it starts each pass from."""

    stage: Stage
    layer: Layer
    start: State

    def run(self, z: Floats, *, training: bool = True, grad: Grad = NONE) -> Link:
        """The layer's pass of z (C, m). Raises SubjectError, for an output of another shape too."""
        self.layer.load(self.start)
        x = to_native(self.stage.case, z)
        return Link(self.stage, self.start, x, shaped(self.layer.run(x, training=training, grad=grad), x))


@dataclass(frozen=True)
class Link:
    """One pass of a layer inside a network: its native input, and the upstream gradient once that is known."""

    stage: Stage
    start: State
    x: Array
    passed: Pass
    dy: Array | None = None
    gradients: Gradients | None = None

    @cached_property
    def y(self) -> Floats:
        """(C, m)."""
        return channel_major(self.passed.y).astype(np.float64)

    def backward(self, dy: Floats) -> Link:
        """This link with its gradients for dy (C, m). Raises SubjectError, for a dx that is none too."""
        native = to_native(self.stage.case, dy)
        gradients = self.passed.backward(native)
        if gradients.x is None or gradients.x.shape != self.x.shape:
            got = "no dx" if gradients.x is None else f"dx of shape {gradients.x.shape}"
            raise SubjectError("backward", f"gave {got} for a batch of shape {self.x.shape}")
        return replace(self, dy=native, gradients=gradients)

    @cached_property
    def expected(self) -> ExpectedPass:
        return expect_training(self.stage.terms, self.x, self.start, self.stage.case.eps)

    @cached_property
    def expected_gradients(self) -> tuple[Cotangents, GradientError]:
        assert self.dy is not None
        return self.expected.differentiate(self.dy)


def to_native(case: Case, values: Floats) -> Array:
    """(C, m), or with another m a multiple of the examples of the case's shape, as a batch of the case's dtype."""
    examples = case.shape[0] * values.shape[1] // case.count
    return from_channel_major(cast(values, dtype_of(case)), (examples, len(values), *case.shape[2:]))


@dataclass(frozen=True)
class Trace:
    """One forward of a network: what enters each linear map, what leaves it, and the links (none without layers)."""

    inputs: tuple[Floats, ...]
    outputs: tuple[Floats, ...]
    links: tuple[Link, ...]

    @property
    def top(self) -> Floats:
        """h of the last layer, (C, m)."""
        return self.inputs[-1]


def run_network(
    weights: Sequence[Floats], h: Floats, layers: Sequence[Normaliser], *, training: bool = True, grad: Grad = NONE
) -> Trace:
    """Run h (D, m) through the network, whose pre-activations the layers normalise, or nothing where there are none."""
    inputs, outputs, links = [h], list[Floats](), list[Link]()
    for depth, w in enumerate(weights):
        with np.errstate(all="ignore"):
            outputs.append(w @ inputs[-1])
        if layers:
            links.append(layers[depth].run(outputs[-1], training=training, grad=grad))
        inputs.append(np.tanh(links[-1].y if layers else outputs[-1]))
    return Trace(tuple(inputs), tuple(outputs), tuple(links))


@dataclass(frozen=True)
class Slopes:
    """Gradients of a loss: by the weights of each linear map, and the links with theirs."""

    weights: tuple[Floats, ...]
    links: tuple[Link, ...]


def differentiate_network(weights: Sequence[Floats], trace: Trace, dh: Floats) -> Slopes:
    """Gradients for dh (C, m), that of the last layer's output."""
    slopes, links = list[Floats](), list[Link]()
    with np.errstate(all="ignore"):
        for depth in reversed(range(len(weights))):
            dz = dh * (1 - trace.inputs[depth + 1] ** 2)
            if trace.links:
                link = trace.links[depth].backward(dz)
                links.append(link)
                assert link.gradients is not None
                assert link.gradients.x is not None
                dz = channel_major(link.gradients.x).astype(np.float64)
            slopes.append(dz @ trace.inputs[depth].T)
            dh = weights[depth].T @ dz
    return Slopes(tuple(reversed(slopes)), tuple(reversed(links)))
