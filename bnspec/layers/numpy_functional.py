"""NumPy layers whose every forward gives its own backward, as functional frameworks do: what adapters wrap them in."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from bnspec.layers.modes import Mode
from bnspec.layers.numpy_teaching import ADAPTER as TEACHING
from bnspec.layers.numpy_teaching import Backward, NumPyLayer, NumPyPass
from bnspec.layers.protocol import NONE, Array, Grad, Gradients, calling


class FunctionalLayer(NumPyLayer):
    """`vjp(x)` of the subject gives y and a function from dy to (dx, dgamma, dbeta), in the mode it is in."""

    def _forward(self, native: Array, grad: Grad, training: bool) -> tuple[Any, Backward]:
        if grad.x or grad.gamma or grad.beta:
            y, backward = self._subject.vjp(self._mode.give(native))
            return self._mode.take(y), functools.partial(_answer, self._mode, backward)
        return super()._forward(native, grad, training)

    def add_up(self, passes: Sequence[NumPyPass], dys: Sequence[Array]) -> Sequence[Gradients]:
        """Whoever has no graph adds the gradients of the parameters himself."""
        found = [passed.backward(dy) for passed, dy in zip(passes, dys, strict=True)]
        gamma, beta = (_add([getattr(g, name) for g in found]) for name in ("gamma", "beta"))
        return [replace(g, gamma=gamma, beta=beta) for g in found]

    def answer_twice(self, passed: NumPyPass, dy: Array) -> tuple[Gradients, Callable[[], Gradients]]:
        return passed.backward(dy), lambda: passed.backward(dy)

    def accumulate(self, passed: NumPyPass, dy: Array, there: Gradients) -> None:
        """Gradients are handed out, and nowhere kept."""

    def run_again(self, passed: NumPyPass, *, training: bool, grad: Grad = NONE, x: Array | None = None) -> NumPyPass:
        if x is not None:
            guarded, passed.x.flags.writeable = not passed.x.flags.writeable, True  # from the subject, and not from us
            passed.x[...] = x
            passed.x.flags.writeable = not guarded
        return self._pass(passed.x, training, grad)


def _answer(mode: Mode, backward: Callable[[Array], Any], dy: Array) -> Sequence[Any]:
    with calling("backward"), np.errstate(all="ignore"):
        dx, *rest = backward(mode.give(dy))
        return mode.take(dx), *rest


def _add(gradients: list[Array | None]) -> Array | None:
    there = [g for g in gradients if g is not None]
    return np.sum(there, axis=0, dtype=there[0].dtype) if there else None


ADAPTER = replace(
    TEACHING,
    abilities=TEACHING.abilities | {"reentrance"},
    methods={"gradients": "vjp"},
    make_layer=lambda subject, _, mode: FunctionalLayer(subject, mode),
)
