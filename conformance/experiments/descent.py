"""Gradient descent on gamma and beta alone, towards a mean and a width of the outputs that were drawn."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bnspec.layers.protocol import ALL, State, as_dtype

from ..acting import Stage
from .networks import Link, Normaliser
from .states import initial_state, keep_offered

Floats = NDArray[np.float64]
STEPS = 60
RATE = 0.25
"""With K = m and eps far below v each step takes a quarter of the way that is left: 0.75^60 is 3e-8."""


@dataclass(frozen=True)
class DescentRecord:
    """`means` and `widths` (STEPS + 1, C) of y as it was moved; the targets (C,); the first pass, differentiated."""

    stage: Stage
    first: Link
    mean: Floats
    width: Floats
    means: Floats
    widths: Floats


def act_descent(stage: Stage) -> DescentRecord:
    """Descend L = sum over channels of (mean(y) - mean)^2/2 + (width(y) - width)^2/2, at a fixed rate.

    x is gaussian, 10 sqrt(eps) or more wide; width is the root of the mean square deviation. gamma starts at 1 and -0.5
    in turn, so that no channel is at its target.
    """
    case, random = stage.case, stage.case.random("descent")
    c, m = case.channels, case.count
    dtype = as_dtype(case.precision.parameters.name)
    scale = max(1.0, 10 * np.sqrt(case.eps)) * random.uniform(1.0, 3.0, (c, 1))
    x = (random.standard_normal((c, m)) + random.uniform(-2, 2, (c, 1))) * scale
    mean = random.uniform(0.5, 3.0, c) * random.choice([-1.0, 1.0], c)
    width = np.where(np.arange(c) % 2, random.uniform(1.5, 3.0, c), random.uniform(0.1, 0.5, c))
    gamma, beta = np.where(np.arange(c) % 2, -0.5, 1.0), np.zeros(c)
    layer, start = stage.subject.make_layer(case, stage.device), keep_offered(stage, initial_state(stage))
    passes, means, widths = list[Link](), list[Floats](), list[Floats]()
    for _ in range(STEPS + 1):
        state: State = replace(start, gamma=gamma.astype(dtype), beta=beta.astype(dtype))
        link = Normaliser(stage, layer, state).run(x, grad=ALL)
        centred = link.y - link.y.mean(axis=1, keepdims=True)
        means.append(link.y.mean(axis=1))
        widths.append(np.sqrt((centred**2).mean(axis=1)))
        with np.errstate(all="ignore"):
            off = (widths[-1] - width) / widths[-1]
            link = link.backward(((means[-1] - mean)[:, None] + off[:, None] * centred) / m)
        passes = passes or [link]
        gamma, beta = gamma - RATE * _flat(link, "gamma"), beta - RATE * _flat(link, "beta")
    return DescentRecord(stage, passes[0], mean, width, np.array(means), np.array(widths))


def _flat(link: Link, name: str) -> Floats:
    """The gradient by a parameter (C,), zero where none came, which G1 says."""
    found = getattr(link.gradients, name)
    c = link.x.shape[1]
    return np.zeros(c) if found is None or found.size != c else found.reshape(-1).astype(np.float64)
