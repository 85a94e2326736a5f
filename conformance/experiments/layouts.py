"""Layouts of what is no batch, of axes of length one, and of what is handed out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.lib.stride_tricks import as_strided

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.cases.layouts import lay_out
from bnspec.layers.protocol import Array, Description, State

from ..acting import Attempt, Played, Stage, attempt, play
from ..expected import ExpectedPass, expect_training
from .one_batch import OneBatch
from .states import keep_offered


@dataclass(frozen=True)
class ArgumentsRecord(OneBatch):
    """Passes for which parameters and buffers lay in memory otherwise than in row-major order.

    Each is a layout, a mode and a pass, from one state; the upstream gradient lies as x does.
    """

    passes: tuple[tuple[str, bool, Played], ...]


def act_arguments(stage: Stage) -> ArgumentsRecord:
    """Train and evaluate with parameters and buffers under another layout."""
    case, subject = stage.case, stage.subject
    batch = make_batch(case)
    start = keep_offered(stage, make_state(case))
    layer = subject.make_layer(case, stage.device)
    modes = (True, False) if subject.offers("evaluation", "running_statistics") else (True,)
    passes = []
    dy = lay_out(np.ascontiguousarray(batch.dy), case.layout) if subject.offers("gradients") else None
    for layout, training in product(("strided", "sliced"), modes):
        layer.rebind(_map_arrays(start, lambda values: lay_out(values, layout)))  # noqa: B023  # called at once
        played = play(lambda: layer.run(batch.x, training=training, grad=stage.grad), layer.state, dy)  # noqa: B023  # called at once
        passes.append((layout, training, played))
    return ArgumentsRecord(stage, batch, start, tuple(passes))


def _map_arrays(state: State, change: Callable[[Array], Array]) -> State:
    """The state with each of its arrays changed."""
    gamma, beta, mean, var = (
        None if values is None else change(values)
        for values in (state.gamma, state.beta, state.running_mean, state.running_var)
    )
    return State(gamma, beta, mean, var, state.batches)


@dataclass(frozen=True)
class FormatsRecord:
    """Passes of a batch with the channel innermost: mode, and the descriptions of y and of dx, None without one."""

    stage: Stage
    x: Array
    passes: tuple[tuple[bool, Attempt[Description], Attempt[Description | None]], ...]


def act_formats(stage: Stage) -> FormatsRecord:
    """Train and evaluate a batch, and differentiate with a gradient of its memory format."""
    case, subject = stage.case, stage.subject
    batch = make_batch(case)
    x, dy = (lay_out(np.ascontiguousarray(a), "channels_last") for a in (batch.x, batch.dy))
    layer = subject.make_layer(case, stage.device)
    start = keep_offered(stage, make_state(case))

    def describe(training: bool) -> tuple[bool, Attempt[Description], Attempt[Description | None]]:
        layer.load(start)
        played = play(
            lambda: layer.run(x, training=training, grad=stage.grad),
            layer.state,
            dy if subject.offers("gradients") else None,
        )
        has_dx = played.gradients.error is None and played.gradients.get().x is not None
        dx = attempt(lambda: played.forward.get().describe("dx") if has_dx else None)
        return training, attempt(lambda: played.forward.get().describe()), dx

    modes = (True, False) if subject.offers("evaluation", "running_statistics") else (True,)
    return FormatsRecord(stage, x, tuple(describe(training) for training in modes))


@dataclass(frozen=True)
class SinglesRecord:
    """Training passes of batches with an axis of length one that carries an odd stride.

    Each is the axis, its stride in elements, the batch, the state it starts from and the pass.
    """

    stage: Stage
    passes: tuple[tuple[int, int, Batch, State, Played], ...]

    def expected(self, batch: Batch, start: State) -> ExpectedPass:
        return expect_training(self.stage.terms, batch.x, start, self.stage.case.eps)


def act_singles(stage: Stage) -> SinglesRecord:
    """Cut each axis in turn to length one, give it strides of zero, one and far, and train.

    The other axes lie in row-major order, or the first runs fastest.
    """
    case, subject = stage.case, stage.subject
    whole = make_batch(case)
    start = keep_offered(stage, make_state(case))
    passes = []
    for axis in range(len(case.shape)):
        x, dy = (a.take([0], axis) for a in (whole.x, whole.dy))
        if x.size == x.shape[1] or (axis == 1 and subject.promises.channels not in (None, 1)):
            continue  # one value per channel, or a number of channels that cannot be chosen
        state = _map_arrays(start, lambda values: values[:1].copy()) if axis == 1 else start
        layer = subject.make_layer(case, stage.device, channels=x.shape[1])
        far = 2 * x.size + 3
        for arrange, stride in (
            (np.ascontiguousarray, 0),
            (np.ascontiguousarray, 1),
            (np.ascontiguousarray, far),
            (np.asfortranarray, 1),
        ):
            batch = Batch(*(_set_stride(arrange(a), axis, stride) for a in (x, dy)))
            layer.load(state)
            upstream = batch.dy if subject.offers("gradients") else None
            played = play(lambda: layer.run(batch.x, training=True, grad=stage.grad), layer.state, upstream)  # noqa: B023  # called at once
            passes.append((axis, stride, batch, state, played))
    return SinglesRecord(stage, tuple(passes))


def _set_stride(x: Array, axis: int, stride: int) -> Array:
    """The same values; the axis has length one, so that no stride of it is stepped."""
    strides = list(x.strides)
    strides[axis] = stride * x.itemsize
    return as_strided(x, strides=strides)
