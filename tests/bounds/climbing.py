"""A search that goes uphill, toward the largest share of a bound: every channel of a population climbs by itself."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from bnspec.conformance.expected import expect_training
from numpy.typing import NDArray

from bnspec.cases.fills import cast
from bnspec.layers.protocol import as_dtype
from bnspec.spec.formats import PRECISIONS, Precision
from tests.bounds.batches import Batch, Draw
from tests.bounds.channels import TRAINING, find_ratios
from tests.bounds.layers import Right, serving
from tests.bounds.measuring import claim, terms_for
from tests.bounds.populations import EPS, Channels, draw_channels, fit, fit_upstream
from tests.bounds.tally import Tally

Array = NDArray[Any]
POPULATION = 48
FIRST = 10_000_000
"""The first turn from which populations start; what is driven without climbing ends before."""
CLIMBERS = (
    "two passes, sums in order", "two passes, pairwise sums", "two passes, corrected", "Welford", "Chan, pairwise",
    "shifted by the first value", "shifted by the running mean", "textbook, clamped", "two passes, step by step",
    "textbook, step by step", "recorded, plain", "recorded, folded", "F.batch_norm, contiguous",
)  # fmt: skip


def move(b: Batch, precision: Precision, draw: Draw) -> Batch:
    """Each channel changed in one of ten ways: of its values, its gradients or its parameters."""
    x, dy, dtype = b.x.astype(np.float64), b.dy.astype(np.float64), b.x.dtype
    channels, lot = len(x), draw.integers(10, size=(len(x), 1))
    some, size = draw.random(x.shape) < draw.choice([0.1, 0.5, 1.0]), np.abs(x).max(axis=1, keepdims=True)
    by, place = 10 ** draw.normal(scale=0.5, size=(channels, 1)), draw.integers(x.shape[1], size=(channels, 1))
    neighbour = 1 + 2.0 ** (1 - precision.storage.precision) * draw.integers(-1, 2, x.shape)
    of_x = [
        np.where(some, x * by, x), x + draw.normal(size=(channels, 1)) * size, x * neighbour,
        np.where(some, np.take_along_axis(x, place, axis=1), x), draw.permuted(x, axis=1),
    ]  # fmt: skip
    of_dy = [
        np.where(some, dy * by, dy), np.where(some, -dy, dy),
        np.where(some, np.take_along_axis(dy, place, axis=1), dy),
    ]  # fmt: skip
    x = np.select([lot == k for k in range(5)], of_x, x)
    dy = np.select([lot == 5 + k for k in range(3)], of_dy, dy)
    gamma, beta = (np.asarray(v, np.float64) for v in (b.state.gamma, b.state.beta))
    gamma, beta = (np.where(lot[:, 0] == 8 + k, v * by[:, 0], v) for k, v in enumerate((gamma, beta)))
    inner = as_dtype(precision.parameters.name)
    state = replace(b.state, gamma=cast(np.clip(gamma, -1e4, 1e4), inner), beta=cast(np.clip(beta, -1e4, 1e4), inner))
    return replace(b, x=cast(fit(x, precision), dtype), dy=cast(fit_upstream(dy, precision), dtype), state=state)


def resize(b: Batch, draw: Draw) -> Batch:
    """Other numbers of values or another eps, for the whole population: values are repeated, or the last left out."""
    if draw.random() < 0.5:
        return replace(b, eps=float(draw.choice(EPS[1:])) * 10 ** draw.normal())
    m = int(np.clip(b.x.shape[1] * draw.choice([0.5, 0.8, 1.3, 2.0]), 2, 200))
    x, dy = (np.take(v, np.arange(m) % v.shape[1], axis=1) for v in (b.x, b.dy))
    return replace(b, x=x, dy=dy, shape=(m, 1, 1))


def reach(c: Channels, precision: str, name: str, right: Right, tally: Tally, where: str) -> dict[str, Array]:
    """The ratios (C,) of every quantity under the layer's own class."""
    terms, b = terms_for(precision, right.algorithm, **c.conventions), c.batch
    with np.errstate(all="ignore"):
        claims = claim(b, expect_training(terms, b.native(b.x), b.state, b.eps), momentum=c.momentum)
        found = find_ratios(right.train(c), [claims], terms.arithmetic)
    tally.count(precision, len(b.x))
    reached = {}
    for quantity, (ratios,) in found.items():
        tally.add((precision, name, "own", quantity), ratios, where)
        reached[quantity] = np.nan_to_num(ratios, nan=0.0, posinf=9.0)
    return reached


def aim(reached: dict[str, Array]) -> Array:
    """Each channel climbs for one quantity."""
    goals = [quantity for quantity in TRAINING if quantity in reached]
    return np.choose(np.arange(POPULATION) % len(goals), [reached[goal] for goal in goals])


def climb(precision: str, name: str, seed: int, generations: int, tally: Tally) -> None:
    """One population of a layer uphill; each generation is POPULATION evaluated cases."""
    right, p = serving(precision)[name], PRECISIONS[precision]
    draw = np.random.default_rng([seed, *precision.encode(), *name.encode()])
    c = draw_channels(precision, seed, FIRST + int(draw.integers(1000)), POPULATION, longest=60)
    c = replace(c, batch=replace(c.batch, eps=c.batch.eps or 1e-5))  # torch refuses 0
    if name.startswith("F.batch_norm"):
        c = replace(c, normalises_with="biased", stores="unbiased", weighs="new")
    height = aim(reach(c, precision, name, right, tally, f"start of {name}"))
    for generation in range(generations):
        where = f"{precision} {name} seed {seed} generation {generation}"
        whole = generation % 12 == 11
        batch = resize(c.batch, draw) if whole else move(c.batch, p, draw)
        tried = replace(c, batch=batch, turn=c.turn + whole)
        reached = aim(reach(tried, precision, name, right, tally, where))
        if whole:
            c, height = (tried, reached) if reached.max() >= 0.9 * height.max() else (c, height)
            continue
        better = reached >= height
        c, height = replace(c, batch=choose(better, batch, c.batch)), np.maximum(reached, height)


def choose(better: Array, new: Batch, old: Batch) -> Batch:
    """The channels of the new batch where it is better, of the old one elsewhere."""

    def pick(n: Any, o: Any) -> Array:
        return np.asarray(np.where(better if n.ndim == 1 else better[:, None], n, o))

    gamma, beta = pick(new.state.gamma, old.state.gamma), pick(new.state.beta, old.state.beta)
    state = replace(old.state, gamma=gamma, beta=beta)
    return replace(old, x=pick(new.x, old.x), dy=pick(new.dy, old.dy), state=state)
