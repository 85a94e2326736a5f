"""One batch and its neighbours a small, exact step away: what the backward says, seen from the forward."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.batches import dtype_of, make_batch, make_state
from bnspec.cases.fills import cast
from bnspec.cases.grids import power_below, put_on_grid
from bnspec.cases.layouts import channel_major, from_channel_major, lay_out
from bnspec.layers.protocol import ALL, NONE, Array, Grad, State
from bnspec.spec.bounds import GradientError

from ..acting import Played, Stage, play
from ..expected import ExpectedPass, expect_training
from .states import keep_offered

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Neighbour:
    """A training forward of a native batch `x` from a state."""

    stage: Stage
    x: Array
    start: State
    played: Played

    @cached_property
    def expected(self) -> ExpectedPass:
        return expect_training(self.stage.terms, self.x, self.start, self.stage.case.eps)


@dataclass(frozen=True)
class DifferencesRecord:
    """`base` is differentiated; `ahead` and `behind` are `step` (C, m) away in x, `gamma` and `beta` one in either.

    The last two are None where the subject has no parameters.
    """

    stage: Stage
    dy: Array
    step: Floats
    base: Neighbour
    ahead: Neighbour
    behind: Neighbour
    gamma: Neighbour | None
    beta: Neighbour | None

    @cached_property
    def gradient_error(self) -> GradientError:
        return self.base.expected.differentiate(self.dy)[1]


def act_differences(stage: Stage) -> DifferencesRecord:
    """Train on a batch, on the batch a step ahead and a step behind, and with one added to gamma and to beta."""
    case = stage.case
    batch, state = make_batch(case), make_state(case)
    x, step = _take_step(stage, channel_major(batch.x).astype(np.float64))
    start = keep_offered(stage, replace(state, gamma=_round(state.gamma), beta=_round(state.beta)))
    layer = stage.subject.make_layer(case, stage.device)

    def train(values: Floats, begin: State, grad: Grad = NONE, dy: Array | None = None) -> Neighbour:
        native = lay_out(from_channel_major(cast(values, dtype_of(case)), case.shape), case.layout)
        layer.load(begin)
        return Neighbour(
            stage, native, begin, play(lambda: layer.run(native, training=True, grad=grad), layer.state, dy)
        )

    base = train(x, start, ALL, batch.dy)
    ahead, behind = train(x + step, start), train(x - step, start)
    gamma = None if start.gamma is None else train(x, replace(start, gamma=start.gamma + 1))
    beta = None if start.beta is None else train(x, replace(start, beta=start.beta + 1))
    return DifferencesRecord(stage, batch.dy, step, base, ahead, behind, gamma, beta)


def _take_step(stage: Stage, x: Floats) -> tuple[Floats, Floats]:
    """The batch on a grid, and a step of a few quanta of it, so that both neighbours are exact.

    Truncation grows like the square of the step over sqrt(v + eps), the rounding of y counts its inverse: both weigh
    the same near the cube root of the relative rounding error, m u kappa^2 for the plainest algorithm.
    """
    case, storage = stage.case, stage.case.precision.storage
    mean, var = x.mean(axis=1, keepdims=True), x.var(axis=1, keepdims=True)
    total = var + case.eps
    rounding = 4 * case.count * stage.terms.rounding.u * (1 + mean**2 / total)
    length = np.sqrt(total) * np.minimum(np.cbrt(rounding), 0.125)
    x, quantum = put_on_grid(x, storage, power_below(length / 4))
    return x, case.random("step").randint(-4, 5, x.shape) * quantum


def _round(parameter: Array | None) -> Array | None:
    """To 1/64, so that one more is exact in every format."""
    if parameter is None:
        return None
    return (np.round(parameter.astype(np.float64) * 64) / 64).astype(parameter.dtype)
