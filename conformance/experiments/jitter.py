"""One example in many random batches: how much its output moves with the others, in training and in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bnspec.layers.protocol import State

from ..acting import Stage
from ..expected import ExpectedPass, expect_evaluation
from .networks import Link, Normaliser
from .states import initial_state, keep_offered

Floats = NDArray[np.float64]
Random = np.random.RandomState
BATCHES = 512
"""Random batches of each size."""
FACTORS = (1, 2, 4)
"""Sizes of a batch, in units of the case's m."""


@dataclass(frozen=True)
class Population:
    """A distribution of mean 0 and variance 1, with its third and fourth standardised moments."""

    name: str
    draw: Callable[[Random, tuple[int, ...]], Floats]
    skew: float
    kurtosis: float


POPULATIONS = (
    Population("gaussian", lambda random, shape: random.standard_normal(shape), 0.0, 3.0),
    Population("uniform", lambda random, shape: np.sqrt(3) * random.uniform(-1, 1, shape), 0.0, 1.8),
    # The sum of four exponentials: gamma of shape 4, whose skew is 2/sqrt(4) and kurtosis 3 + 6/4.
    Population("gamma", lambda random, shape: random.gamma(4.0, 0.5, shape) - 2.0, 1.0, 4.5),
)
PLACES = (2.0, 0.0, -1.5, 1.0, -0.5)
"""Where the fixed example stands, in deviations from the mean; the channels have them in turn."""


@dataclass(frozen=True)
class JitterRecord:
    """`outputs` by batch size, (BATCHES, C): y of the first example, in training. `still` is the same in evaluation, of
    a few batches, and `link` an evaluation with what is expected of it; both None where the subject has none."""

    stage: Stage
    start: State
    scale: Floats
    places: Floats
    outputs: dict[int, Floats]
    still: Floats | None
    link: Link | None

    @property
    def populations(self) -> tuple[Population, ...]:
        return tuple(POPULATIONS[channel % len(POPULATIONS)] for channel in range(self.stage.case.channels))

    @cached_property
    def expected_still(self) -> ExpectedPass:
        assert self.link is not None
        return expect_evaluation(self.stage.terms, self.link.x, self.start, self.stage.case.eps)


def act_jitter(stage: Stage) -> JitterRecord:
    """Put the same example first into random batches of m, 2 m and 4 m values a channel.

    gamma is drawn from 0.5 to 2, of either sign; deviations from 1 to 3 times the larger of 1 and sqrt(eps).
    """
    case, random = stage.case, stage.case.random("jitter")
    c = case.channels
    places = np.resize(PLACES, c)
    scale = np.asarray(max(1.0, np.sqrt(case.eps)) * random.uniform(1, 3, (c, 1)))
    state, subject = initial_state(stage), stage.subject
    assert state.gamma is not None
    gamma = random.uniform(0.5, 2, c) * random.choice([-1.0, 1.0], c)
    start = keep_offered(
        stage, State(gamma.astype(state.gamma.dtype), state.beta, state.running_mean, state.running_var, 0)
    )
    normaliser = Normaliser(stage, subject.make_layer(case, stage.device), start)

    def gather(m: int) -> Floats:
        x = np.empty((c, m))
        for channel in range(c):
            x[channel] = POPULATIONS[channel % len(POPULATIONS)].draw(random, (m,))
        x[:, 0] = places
        return np.asarray(x * scale)

    outputs = {
        m: np.array([normaliser.run(gather(m)).y[:, 0] for _ in range(BATCHES)])
        for m in (factor * case.count for factor in FACTORS)
    }
    if not subject.offers("evaluation", "running_statistics"):
        return JitterRecord(stage, start, scale, places, outputs, None, None)
    links = [normaliser.run(gather(case.count), training=False) for _ in range(8)]
    still = np.array([link.y[:, 0] for link in links])
    return JitterRecord(stage, start, scale, places, outputs, still, links[0])
