"""A linear map before the layer, on whole numbers: its weights, and the same weights scaled."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.batches import dtype_of, make_batch, make_state
from bnspec.cases.fills import cast
from bnspec.cases.grids import power_below
from bnspec.cases.layouts import channel_major, from_channel_major, lay_out
from bnspec.layers.protocol import ALL, Array, State
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents

from ..acting import Played, Stage, play
from ..expected import ExpectedPass, expect_training
from .states import keep_offered

Floats = NDArray[np.float64]
FEATURES = 4
"""D, the inputs of the map: a constant one, which moves the mean, and three that vary."""


@dataclass(frozen=True)
class WeightsPass:
    """The layer after z = W u with its own W and eps; `z` is native and exact, `weights` (C, D)."""

    stage: Stage
    start: State
    weights: Floats
    z: Array
    dy: Array
    eps: float
    played: Played

    @cached_property
    def expected(self) -> ExpectedPass:
        return expect_training(self.stage.terms, self.z, self.start, self.eps)

    @cached_property
    def gradients(self) -> tuple[Cotangents, GradientError]:
        return self.expected.differentiate(self.dy)


@dataclass(frozen=True)
class WeightsRecord:
    """One map at W and at c W, where eps can be chosen as c^2 eps; `inputs` u is (D, m)."""

    stage: Stage
    inputs: Floats
    c: float
    plain: WeightsPass
    scaled: WeightsPass | None


def act_weights(stage: Stage) -> WeightsRecord:
    """Train on z = W u, then on c z by a layer made with c^2 eps.

    W and u are small whole numbers, so that z has at most six bits, the rows of W times a power of two: some bring z
    near sqrt(eps), some near one, where gradients are claimed at the ends of the range of eps too.
    """
    case = stage.case
    random = case.random("weights")
    inputs = random.randint(-3, 4, (FEATURES, case.count)).astype(np.float64)
    inputs[0], inputs[1, 0], inputs[1, -1] = 1.0, 1.0, -1.0  # a row of W that reads the second input is no constant
    weights = random.randint(-3, 4, (case.channels, FEATURES)).astype(np.float64)
    weights[:, 1] = random.choice([-2.0, -1.0, 1.0, 2.0], case.channels)
    scale = np.where(random.rand(case.channels, 1) < 0.7, power_below(np.sqrt(case.eps)), 1.0)
    weights = weights * scale * 2.0 ** random.randint(-2, 4, (case.channels, 1))
    z = (weights[:, :, None] * inputs[None]).sum(axis=1)
    start, dy = keep_offered(stage, make_state(case, x=z)), make_batch(case).dy

    def train(c: float) -> WeightsPass:
        eps = c * c * case.eps
        native = lay_out(from_channel_major(cast(c * z, dtype_of(case)), case.shape), case.layout)
        layer = stage.subject.make_layer(case, stage.device, eps=eps)
        layer.load(start)
        played = play(lambda: layer.run(native, training=True, grad=ALL), layer.state, dy)
        return WeightsPass(stage, start, c * weights, native, dy, eps, played)

    c = (0.125, 0.5, 4.0, 8.0)[random.randint(4)]
    return WeightsRecord(stage, inputs, c, train(1.0), train(c) if stage.subject.offers("free_eps") else None)


def upstream_of(passed: WeightsPass) -> Array | None:
    """dz as the layer gave it, (C, m); None where it has another shape, which G1 says."""
    dz = passed.played.gradients.get().x
    return None if dz is None or dz.shape != passed.z.shape else channel_major(dz)
