"""The acts of random histories (`bnspec.cases.acts.ACTS`), and how a layer is put through them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import cast

import numpy as np

from bnspec.cases.acts import split
from bnspec.cases.batches import dtype_of
from bnspec.layers.protocol import (
    OFF,
    Converts,
    Copies,
    Grad,
    Layer,
    Recomputes,
    Reenters,
    Resets,
    Retunes,
    Saves,
    State,
    SubjectError,
    Switches,
    as_dtype,
)

from ..acting import Attempt, Stage
from .history_actor import Actor, shape_like
from .history_record import Answer, RandomHistoryRecord
from .states import initial_state

FACTORS = (8.0, 0.125, 64.0)
"""What eps is multiplied with where it is set anew, in turn."""
MOMENTA = (0.6, 0.25, 0.9)
OTHER_DTYPE = {"float32": "float64", "float64": "float32"}


def act_random_history(stage: Stage) -> RandomHistoryRecord:
    """Put one layer through the acts of the case, from parameters and buffers away from their defaults."""
    actor = Actor(stage)
    for place, written in enumerate(stage.case.acts, 1):
        name, examples = split(written)
        if not actor.play(place, name, partial(_ACTS[name], actor, examples)):
            break
    return actor.finish()


def _pass(actor: Actor, examples: int, *, training: bool, grad: Grad | None = None, waits: bool = False) -> None:
    batch, wanted, layer = actor.draw_batch(examples), grad or actor.stage.grad, actor.layer
    run = partial(layer.run, batch.x, training=training, grad=wanted)
    call = actor.run(batch, run, training=training, grad=wanted, answered=not waits)
    if waits:
        actor.wait(call)


def _answer(actor: Actor, _: int, chosen: slice) -> None:
    actor.answer(actor.waiting[chosen])


def _repeat(actor: Actor, _: int) -> None:
    if actor.last is not None:
        (passed, batch), grad, layer = actor.last, actor.stage.grad, cast(Reenters, actor.layer)
        run = partial(layer.run_again, passed, training=True, grad=grad)
        actor.run(batch, run, training=True, grad=grad)


def _recompute(actor: Actor, examples: int) -> None:
    """The forward runs again in its backward, to the end: a second pass, from the state that the first one left."""
    batch, grad, layer = actor.draw_batch(examples), actor.stage.grad, cast(Recomputes, actor.layer)
    run = partial(layer.recompute, batch.x, grad)
    call = actor.run(batch, run, training=True, grad=grad, answered=False)
    gradients = call.played.forward.get().backward(batch.dy)
    actor.step.answers.append(Answer((call,), Attempt((gradients,))))
    after, between = Attempt(actor.layer.state()), call.played.after_backward.get()
    played = replace(call.played, after_forward=after, after_backward=after)
    count = call.count + 1
    actor.count += 1
    actor.step.calls.append(replace(call, before=between, count=count, played=played))


def _write_parameters(actor: Actor, _: int) -> None:
    drawn = actor.draw_state()
    actor.write(State(gamma=drawn.gamma, beta=drawn.beta))


def _write_buffers(actor: Actor, _: int) -> None:
    drawn = actor.draw_state()
    actor.write(State(running_mean=drawn.running_mean, running_var=drawn.running_var))


def _change_nothing(actor: Actor, act: Callable[[], object]) -> None:
    before = actor.layer.state()
    act()
    actor.hold(before)


def _switch(actor: Actor, _: int, *, training: bool) -> None:
    _change_nothing(actor, lambda: cast(Switches, actor.layer).switch(training))


def _retune(actor: Actor, _: int, *, averages: bool = False) -> None:
    """Passes that wait are given up: whether a backward reads eps anew is not asked."""
    place, case = actor.step.place, actor.stage.case
    eps = actor.first.case.eps * FACTORS[place % len(FACTORS)]
    momentum = None if averages else MOMENTA[place % len(MOMENTA)]
    _change_nothing(actor, lambda: cast(Retunes, actor.layer).retune(eps=eps, momentum=momentum))
    actor.waiting = []
    actor.stage = replace(actor.stage, case=replace(case, eps=eps, momentum=momentum))


def _succeed(actor: Actor, successor: Layer, wanted: State, *, counted: bool = True) -> None:
    actor.give_way(successor)
    actor.hold(wanted, counted=counted)


def _restore(actor: Actor, _: int, restore: Callable[[Saves, object, State], State | None], counted: bool) -> None:
    """A layer as it is constructed, of other values, takes over from a save, and then takes the place on stage."""
    case, averages = actor.stage.case, actor.stage.case.momentum is None
    if averages and not actor.offers("counter"):
        return  # how many batches it has seen is not saved
    constructed = replace(actor.first.case, dtype=case.dtype)
    actor.stage = replace(actor.stage, case=constructed)
    heir = actor.make(actor.draw_state())
    saved, before = cast(Saves, actor.layer).save(), actor.layer.state()
    wanted = restore(cast(Saves, heir), saved, before)
    if wanted is None:
        actor.stage = replace(actor.stage, case=case)
    else:
        _succeed(actor, heir, wanted, counted=counted)


def _take_all(heir: Saves, saved: object, before: State) -> State:
    heir.restore(saved)
    return before


def _take_parameters(heir: Saves, saved: object, before: State) -> State | None:
    own = cast(Layer, heir).state()
    return replace(own, gamma=before.gamma, beta=before.beta) if heir.restore_parameters(saved) else None


def _take_older(heir: Saves, saved: object, before: State) -> State | None:
    return before if heir.restore_older(saved) else None


def _restore_nothing(actor: Actor, _: int) -> None:
    _change_nothing(actor, lambda: cast(Saves, actor.layer).restore(None))


def _copy(actor: Actor, _: int) -> None:
    before = actor.layer.state()
    _succeed(actor, cast(Copies, actor.layer).copy(), before)


def _travel(actor: Actor, _: int) -> None:
    before, copy = actor.layer.state(), cast(Copies, actor.layer).travel()
    if copy is not None:
        _succeed(actor, copy, before)


def _convert(actor: Actor, _: int) -> None:
    """Passes that wait are given up, as their parameters are of another dtype now."""
    case, before = actor.stage.case, actor.layer.state()
    dtype = OTHER_DTYPE[case.dtype]
    cast(Converts, actor.layer).convert(dtype)
    actor.waiting, actor.last = [], None
    arrays = {name: value for name, value in vars(before).items() if name != "batches" and value is not None}
    rounded = {name: value.astype(as_dtype(dtype)) for name, value in arrays.items()}
    actor.stage = replace(actor.stage, case=replace(case, dtype=dtype))
    actor.hold(replace(before, **rounded))


def _reset(actor: Actor, _: int) -> None:
    before, initial = actor.layer.state(), initial_state(actor.stage)
    cast(Resets, actor.layer).reset()
    actor.writes += 1
    actor.count = 0
    actor.forget_readers()
    mean, var = (
        shape_like(initial.running_mean, before.running_mean),
        shape_like(initial.running_var, before.running_var),
    )
    batches = None if before.batches is None else 0
    actor.hold(replace(before, running_mean=mean, running_var=var, batches=batches))


def _refuse(actor: Actor, _: int) -> None:
    """Where it is not refused, B4 has its say, and the state goes back to what it was; a count may move (B9)."""
    before, case = actor.layer.state(), actor.stage.case
    single = np.ones((1, case.channels, *[1] * (len(case.shape) - 2)), dtype_of(case))
    try:
        actor.layer.run(single, training=True, grad=OFF)
    except SubjectError:
        actor.hold(before, counted=False)
    else:
        actor.layer.load(before)


_ACTS: dict[str, Callable[[Actor, int], None]] = {
    "train": partial(_pass, training=True),
    "evaluate": partial(_pass, training=False),
    "train_unrecorded": partial(_pass, training=True, grad=OFF),
    "evaluate_unrecorded": partial(_pass, training=False, grad=OFF),
    "train_frozen": partial(_pass, training=True, grad=Grad(x=True)),
    "keep": partial(_pass, training=True, waits=True),
    "keep_evaluation": partial(_pass, training=False, waits=True),
    "answer_first": partial(_answer, chosen=slice(0, 1)),
    "answer_last": partial(_answer, chosen=slice(-1, None)),
    "answer_both": partial(_answer, chosen=slice(-2, None)),
    "again": _repeat,
    "recompute": _recompute,
    "write_parameters": _write_parameters,
    "write_buffers": _write_buffers,
    "switch_to_training": partial(_switch, training=True),
    "switch_to_evaluation": partial(_switch, training=False),
    "retune": _retune,
    "average": partial(_retune, averages=True),
    "restore": partial(_restore, restore=_take_all, counted=True),
    "restore_nothing": _restore_nothing,
    "restore_parameters": partial(_restore, restore=_take_parameters, counted=True),
    "restore_older": partial(_restore, restore=_take_older, counted=False),
    "copy": _copy,
    "travel": _travel,
    "convert": _convert,
    "reset": _reset,
    "refuse": _refuse,
}
