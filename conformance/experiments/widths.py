"""A deep tanh network at several gains of its weights, with layers under test and without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bnspec.layers.protocol import NONE, State

from ..acting import Stage
from .networks import Link, Normaliser, differentiate_network, run_network
from .states import initial_state, keep_offered

Floats = NDArray[np.float64]
GAINS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Deviations of the weights of a layer, in units of 1/sqrt(C)."""
DEPTH = 6


@dataclass(frozen=True)
class WidthsRecord:
    """By gain: the links of each layer, with gradients where the subject has them, and the deviations (DEPTH,) of the
    pre-activations of the same network without layers."""

    stage: Stage
    links: dict[float, tuple[Link, ...]]
    bare: dict[float, Floats]


def act_widths(stage: Stage) -> WidthsRecord:
    """Run the same weights at each gain, on gaussian inputs, and differentiate for a gaussian upstream gradient.

    The parameters are those of a new layer where the case is fresh; else gamma is drawn from 0.5 to 1.5, of either
    sign, and beta from -0.5 to 0.5.
    """
    case, random = stage.case, stage.case.random("network")
    c = case.channels
    weights = [random.standard_normal((c, c)) / np.sqrt(c) for _ in range(DEPTH)]
    x, dh = random.standard_normal((2, c, case.count))
    layers = [Normaliser(stage, stage.subject.make_layer(case, stage.device), _draw_state(stage, random))
              for _ in range(DEPTH)]  # fmt: skip
    links, bare = {}, {}
    for gain in GAINS:
        scaled = [gain * w for w in weights]
        trace = run_network(scaled, x, layers, grad=stage.grad)
        links[gain] = trace.links if stage.grad == NONE else differentiate_network(scaled, trace, dh).links
        bare[gain] = np.array([z.std() for z in run_network(scaled, x, ()).outputs])
    return WidthsRecord(stage, links, bare)


def _draw_state(stage: Stage, random: np.random.RandomState) -> State:
    state = initial_state(stage)
    assert state.gamma is not None
    if not stage.case.fresh:
        c, dtype = stage.case.channels, state.gamma.dtype
        gamma = random.uniform(0.5, 1.5, c) * random.choice([-1.0, 1.0], c)
        beta = random.uniform(-0.5, 0.5, c)
        state = State(gamma.astype(dtype), beta.astype(dtype), state.running_mean, state.running_var, 0)
    return keep_offered(stage, state)
