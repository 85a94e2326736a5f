"""One training batch, and the same values again in ways that must not matter."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.batches import dtype_of, make_batch, make_state
from bnspec.cases.fills import cast
from bnspec.cases.grids import WIDEST, draw_steps, put_on_grid
from bnspec.cases.layouts import channel_major, from_channel_major, lay_out
from bnspec.layers.protocol import Array, Layer, State
from bnspec.spec.bounds import GradientError

from ..acting import Played, Stage, play
from ..expected import ExpectedBuffers, ExpectedPass, begin_buffers, expect_training, update_buffers
from .states import keep_offered

Floats = NDArray[np.float64]
Places = NDArray[np.intp]


@dataclass(frozen=True)
class Twin:
    """A pass over the base's values in other places: its channel `channels[i]` holds the base's channel `sources[i]`.

    `order` (C, m) says which value of its source stands at each place; None where they stand as they were.
    """

    played: Played
    shape: tuple[int, ...]
    channels: Places
    sources: Places
    order: Places | None = None


@dataclass(frozen=True)
class Scaled:
    """A pass over c x + o, exactly, by a layer made with c^2 eps; `sign` (C,) is that of c."""

    played: Played
    x: Array
    eps: float
    sign: Floats


@dataclass(frozen=True)
class RelationsRecord:
    """Training passes from one state. `x` and `dy` are the base's, native; the rest is None where it cannot be asked.

    `again` is the base once more. In `permuted` each channel has its values in another order, in `others` only some
    channels are the base's, in `rolled` the channels have moved with all that belongs to them, `reshaped` has another
    rank, and `doubled` is the batch followed by itself.
    """

    stage: Stage
    x: Array
    dy: Array
    start: State
    base: Played
    again: Played
    scaled: Scaled | None
    permuted: Twin
    others: Twin | None
    rolled: Twin | None
    reshaped: Twin | None
    doubled: Played | None

    def expect(self, x: Array, eps: float) -> ExpectedPass:
        return expect_training(self.stage.terms, x, self.start, eps)

    @cached_property
    def expected(self) -> ExpectedPass:
        return self.expect(self.x, self.stage.case.eps)

    @cached_property
    def buffers(self) -> ExpectedBuffers:
        begun = begin_buffers(self.stage.terms, self.start)
        return update_buffers(begun, self.expected, self.stage.case.momentum, self.start.batches or 0)

    @cached_property
    def gradient_error(self) -> GradientError:
        return self.expected.differentiate(self.dy)[1]


@dataclass(frozen=True)
class _Scene:
    """What all passes share. Arrays are channel-major in float64 here, and become native on their way to the layer."""

    stage: Stage
    x: Floats
    dy: Floats
    start: State

    def native(self, values: Floats, shape: tuple[int, ...] | None = None) -> Array:
        case = self.stage.case
        return lay_out(from_channel_major(cast(values, dtype_of(case)), shape or case.shape), case.layout)

    def train(
        self, layer: Layer, x: Floats, dy: Floats, start: State | None = None, shape: tuple[int, ...] | None = None
    ) -> Played:
        batch, upstream = self.native(x, shape), self.native(dy, shape)
        layer.load(start or self.start)
        return play(
            lambda: layer.run(batch, training=True, grad=self.stage.grad),
            layer.state,
            upstream if self.stage.subject.offers("gradients") else None,
        )


def act_relations(stage: Stage) -> RelationsRecord:
    """Train on one batch, whose values lie on a grid, and on the same values in every way that must not matter."""
    case, subject = stage.case, stage.subject
    random = case.random("relations")
    batch = make_batch(case)
    x, quantum = put_on_grid(channel_major(batch.x).astype(np.float64), case.precision.storage)
    dy, start = channel_major(batch.dy).astype(np.float64), keep_offered(stage, make_state(case))
    scene, layer = _Scene(stage, x, dy, start), subject.make_layer(case, stage.device)
    several, everywhere = case.channels > 1, np.arange(case.channels)
    base, again = (scene.train(layer, x, dy) for _ in range(2))
    order = np.argsort(random.rand(*x.shape), axis=1)
    moved = [np.take_along_axis(values, order, axis=1) for values in (x, dy)]
    permuted = Twin(scene.train(layer, moved[0], moved[1]), case.shape, everywhere, everywhere, order)
    doubled = None
    if subject.offers("biased_normalisation"):
        twice = (2 * case.shape[0], *case.shape[1:])
        doubled = scene.train(layer, np.tile(x, 2), np.tile(dy, 2), shape=twice)
    return RelationsRecord(
        stage, scene.native(x), scene.native(dy), start, base, again,
        _scale(scene, quantum, random) if subject.offers("batch_statistics") else None,
        permuted,
        _change_others(scene, layer, random) if several else None,
        _roll(scene, layer, int(random.randint(1, case.channels))) if several else None,
        _reshape(scene, random) if subject.offers("several_ranks") else None,
        doubled,
    )  # fmt: skip


def _scale(scene: _Scene, quantum: Floats, random: np.random.RandomState) -> Scaled:
    """|c| is one power of two, 1 where eps is fixed; signs and offsets are drawn per channel."""
    stage, case = scene.stage, scene.stage.case
    powers = (1 / WIDEST, 0.25, 0.5, 2.0, 4.0, WIDEST)
    c = powers[random.randint(len(powers))] if stage.subject.offers("free_eps") else 1.0
    sign = random.choice([-1.0, 1.0], (case.channels, 1))
    x = c * (sign * scene.x + draw_steps(random, case.precision.storage, case.channels) * quantum)
    layer = stage.subject.make_layer(case, stage.device, eps=c * c * case.eps)
    return Scaled(scene.train(layer, x, scene.dy), scene.native(x), c * c * case.eps, sign[:, 0])


def _change_others(scene: _Scene, layer: Layer, random: np.random.RandomState) -> Twin:
    """At least one channel is the base's and at least one has other values, upstream gradients and state."""
    stage, case = scene.stage, scene.stage.case
    kept = random.rand(case.channels) < 0.5
    kept[random.choice(case.channels, 2, replace=False)] = True, False
    second = make_batch(case, "second")
    x = put_on_grid(1 - 2 * channel_major(second.x).astype(np.float64), case.precision.storage)[0]
    x, dy = (
        np.where(kept[:, None], mine, other)
        for mine, other in ((scene.x, x), (scene.dy, channel_major(second.dy).astype(np.float64)))
    )
    other = keep_offered(stage, make_state(case, "second"))
    start = _combine(lambda mine, theirs: np.where(kept, mine, theirs), scene.start, other)
    places = np.flatnonzero(kept)
    return Twin(scene.train(layer, x, dy, start), case.shape, places, places)


def _roll(scene: _Scene, layer: Layer, by: int) -> Twin:
    """Every channel moves on, and takes its parameters, buffers and upstream gradient along."""
    sources = np.roll(np.arange(scene.stage.case.channels), by)
    start = _combine(lambda mine, _: mine[sources], scene.start, scene.start)
    played = scene.train(layer, scene.x[sources], scene.dy[sources], start)
    return Twin(played, scene.stage.case.shape, np.arange(len(sources)), sources)


def _reshape(scene: _Scene, random: np.random.RandomState) -> Twin:
    """The same values by a layer of another promised rank, their number split anew into examples and positions."""
    stage, case = scene.stage, scene.stage.case
    ranks = [rank for rank in stage.subject.promises.ranks if rank != len(case.shape)]
    rank = ranks[random.randint(len(ranks))]
    divisors = [n for n in range(1, case.count + 1) if case.count % n == 0]
    examples = case.count if rank == 2 else divisors[random.randint(len(divisors))]
    positions = (*[1] * (rank - 3), case.count // examples)[: rank - 2]
    shape = (examples, case.channels, *positions)
    layer = stage.subject.make_layer(case, stage.device, rank=rank)
    everywhere = np.arange(case.channels)
    return Twin(scene.train(layer, scene.x, scene.dy, shape=shape), shape, everywhere, everywhere)


def _combine(take: Any, mine: State, others: State) -> State:
    """A state whose parameters and buffers (C,) are taken from two; the counter is the first one's."""
    names = [name for name in ("gamma", "beta", "running_mean", "running_var") if getattr(mine, name) is not None]
    return replace(mine, **{name: take(getattr(mine, name), getattr(others, name)) for name in names})
