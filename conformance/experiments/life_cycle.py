"""What happens to a layer between its passes: switches, saves, copies, conversions, resets, and other layers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar, cast

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import (
    NONE,
    OFF,
    Array,
    Converts,
    Copies,
    Grad,
    Layer,
    Resets,
    Retunes,
    Saves,
    State,
    Switches,
)

from ..acting import Attempt, Stage, attempt, play
from .life_record import Call, Converting, Copying, LifeRecord, Neighbour, Resetting, Retuning, Saving, Step
from .states import keep_offered

T = TypeVar("T")


@dataclass(frozen=True)
class _Props:
    """What the parts are played with: two batches and two states, made once."""

    stage: Stage
    first: Batch
    second: Batch
    start: State
    other: State

    def offers(self, ability: str) -> bool:
        return self.stage.subject.offers(ability)

    def make(self, state: State) -> Layer:
        layer = self.stage.subject.make_layer(self.stage.case, self.stage.device)
        layer.load(state)
        return layer

    def train(self, layer: Layer) -> State:
        """One training pass that is not looked at; the state after it."""
        layer.run(self.first.x, training=True, grad=self.stage.grad)
        return layer.state()


def act_life_cycle(stage: Stage) -> LifeRecord:
    """Play each part with layers of its own."""
    first, second = (make_batch(stage.case, stream) for stream in ("batch", "second"))
    start, other = (keep_offered(stage, make_state(stage.case, stream)) for stream in ("state", "other"))
    props = _Props(stage, first, second, start, other)

    def offered(act: Callable[[_Props], T], ability: str) -> Attempt[T] | None:
        return attempt(lambda: act(props)) if props.offers(ability) else None

    return LifeRecord(
        stage,
        offered(_switch_about, "evaluation"),
        offered(_save_and_restore, "saves"),
        offered(_copy_and_train, "copies"),
        offered(_convert, "converts"),
        offered(_train_and_reset, "resets"),
        offered(_retune, "retunes"),
        offered(_train_neighbours, "initial_state"),
    )


def _call(
    stage: Stage, layer: Layer, batch: Batch, count: int, *, training: bool, grad: Grad, dy: Array | None = None
) -> Call:
    before = layer.state()
    played = play(lambda: layer.run(batch.x, training=training, grad=grad), layer.state, dy)
    return Call(stage, training, batch, before, count, played)


CALLS: tuple[tuple[tuple[bool, ...], bool, Grad | None], ...] = (
    ((), True, None),
    ((False, True), True, OFF),
    ((False,), False, None),
    ((False, False), False, OFF),
    ((True, False, True, True), True, Grad(gamma=True)),
    ((False, True, False), False, NONE),
    ((True,), True, Grad(x=True)),
)
"""What is switched to before a call, its mode, and what needs a gradient: None is all that can be asked for."""


def _switch_about(props: _Props) -> tuple[Step, ...]:
    """Calls in both modes, with switches in between; each case begins at another place of the table."""
    stage, first = props.stage, props.stage.case.seed % len(CALLS)
    layer, count = props.make(props.start), props.start.batches or 0
    played = []
    for place, (modes, training, asked) in enumerate(CALLS[first:] + CALLS[:first]):
        left = layer.state()
        for mode in modes if props.offers("switches") else ():
            cast(Switches, layer).switch(mode)
        grad = asked if asked is not None and props.offers("gradient_subsets") else stage.grad
        batch = make_batch(stage.case, f"call {place}")
        call = _call(stage, layer, batch, count, training=training, grad=grad)
        played.append((left, call, call.played.forward.get()))
        count += training
    return tuple(Step(left, call, attempt(lambda: kept.read("y"))) for left, call, kept in played)  # noqa: B023  # called at once


def _save_and_restore(props: _Props) -> Saving:
    """Save a trained layer; restore into one of other values that has evaluated already; then restore nothing."""
    layer, evaluates = props.make(props.start), props.offers("evaluation")
    within = props.stage.case.seed % 2 == 1
    heir = props.make(replace(props.other, batches=(props.other.batches or 0) + 7))
    before = props.train(layer)
    saved = cast(Saves, layer).save(within=within)
    after = layer.state()
    if evaluates:
        heir.run(props.first.x, training=False)
    cast(Saves, heir).restore(saved, within=within)
    took = heir.state()
    evaluated = _call(props.stage, heir, props.first, 0, training=False, grad=OFF) if evaluates else None
    cast(Saves, heir).restore(None)
    untouched = heir.state()
    props.train(heir)
    left = layer.state()
    half = props.make(props.other)
    other = half.state()
    restored = cast(Saves, half).restore_parameters(cast(Saves, layer).save())
    return Saving(before, after, took, evaluated, untouched, left, other, half.state() if restored else None)


def _copy_and_train(props: _Props) -> Copying:
    """Copy a layer after a training pass; write to the copy and train it, then do so to the layer."""
    stage, layer = props.stage, props.make(props.start)
    before = props.train(layer)
    evaluated = None
    if props.offers("evaluation"):
        layer.run(props.second.x, training=False)
        still = cast(Copies, layer).copy()
        evaluated = _call(stage, still, props.first, 0, training=False, grad=OFF)
    travelled = cast(Copies, layer).travel()
    twin = cast(Copies, layer).copy()
    made = twin.state()
    twin.load(props.other)
    dy = props.second.dy if props.offers("gradients") else None
    count = props.other.batches or 0
    trained = _call(stage, twin, props.second, count, training=True, grad=stage.grad, dy=dy)
    props.train(cast(Copies, layer).copy())  # as it came, for a load may have given the other memory of its own
    left = layer.state()
    layer.load(props.start)
    props.train(layer)
    arrived = None if travelled is None else travelled.state()
    return Copying(before, made, evaluated, arrived, trained, left, twin.state())


def _convert(props: _Props) -> Converting:
    """Convert a layer that has evaluated to the other dtype; evaluate, train and evaluate it there."""
    case = props.stage.case
    dtype = {"float32": "float64", "float64": "float32"}[case.dtype]
    there = replace(props.stage, case=replace(case, dtype=dtype))
    layer, batch, evaluates = props.make(props.start), make_batch(there.case), props.offers("evaluation")
    if evaluates:
        layer.run(props.first.x, training=False)
    before = layer.state()
    cast(Converts, layer).convert(dtype)
    after = layer.state()
    calls = [
        _call(there, layer, batch, props.start.batches or 0, training=training, grad=there.grad)
        for training in ((False, True, False) if evaluates else (True,))
    ]
    return Converting(before, after, tuple(calls))


def _train_and_reset(props: _Props) -> Resetting:
    """Train, evaluate, reset, evaluate and train again."""
    layer, stage, evaluates = props.make(props.start), props.stage, props.offers("evaluation")
    before = props.train(layer)
    if evaluates:
        layer.run(props.second.x, training=False)
    cast(Resets, layer).reset()
    after = layer.state()
    evaluated = _call(stage, layer, props.first, 0, training=False, grad=OFF) if evaluates else None
    return Resetting(before, after, evaluated, _call(stage, layer, props.first, 0, training=True, grad=stage.grad))


def _retune(props: _Props) -> Retuning:
    """Train and evaluate, set eps and momentum, evaluate and train; then average plainly from a reset on."""
    stage, layer, count = props.stage, props.make(props.start), props.start.batches or 0
    dy = props.second.dy if props.offers("gradients") else None

    def call(there: Stage, count: int, training: bool) -> Call:
        return _call(there, layer, props.second, count, training=training, grad=stage.grad, dy=dy)

    props.train(layer)
    layer.run(props.first.x, training=False)
    layer.load(props.start)
    there = _set(stage, layer, 0.6)
    calls = [call(there, count, training) for training in (False, True)]
    if props.offers("cumulative") and props.offers("resets"):
        cast(Resets, layer).reset()
        averaging = _set(stage, layer, None)
        calls += [call(averaging, count, training=True) for count in (0, 1)]
    return Retuning(tuple(calls))


def _set(stage: Stage, layer: Layer, momentum: float | None) -> Stage:
    """Set a larger eps, and momentum; the stage on which they are what the case asks for."""
    eps = stage.case.eps * 8
    cast(Retunes, layer).retune(eps=eps, momentum=momentum)
    return replace(stage, case=replace(stage.case, eps=eps, momentum=momentum))


def _train_neighbours(props: _Props) -> tuple[Neighbour, ...]:
    """Train one layer, then another, and look at those made before and after, of the same size and of another."""
    subject, case, device = props.stage.subject, props.stage.case, props.stage.device
    others = {"made before": subject.make_layer(case, device)}
    layer = subject.make_layer(case, device)
    others["made after"] = subject.make_layer(case, device)
    if subject.promises.channels is None:
        others["of another size"] = subject.make_layer(case, device, channels=case.channels + 1)
    fresh = {which: other.state() for which, other in others.items()}
    layer.load(props.start)
    trained = props.train(layer)
    found = [Neighbour(f"a layer {which}", fresh[which], other.state()) for which, other in others.items()]
    for which in ("made before", "made after"):
        props.train(others[which])
    return (*found, Neighbour("a layer trained before", trained, layer.state()))
