"""One value that is not finite: in the batch, in the upstream gradient, or in the running variance."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bnspec.cases.batches import make_batch, make_state
from bnspec.cases.layouts import lay_out
from bnspec.layers.protocol import Array, State

from ..acting import Played, Stage, play
from .one_batch import OneBatch
from .states import keep_offered

VALUES = (np.nan, np.inf, -np.inf)


@dataclass(frozen=True)
class NonfiniteRecord(OneBatch):
    """Passes of a batch in which one value of channel `channel`, at `place` of the batch, was replaced.

    `trained` and `evaluated` pair what stood there with the pass; `upstream` names a mode, what stood there in the
    upstream gradient, and the pass of the finite batch. `spoilt` pairs a mode with the pass of a layer whose running
    variance is NaN in the channel. gamma of the channel is not 0.
    """

    place: tuple[int, ...]
    trained: tuple[tuple[float, Played], ...]
    evaluated: tuple[tuple[float, Played], ...]
    upstream: tuple[tuple[bool, float, Played], ...]
    spoilt: tuple[tuple[bool, Played], ...]

    @property
    def channel(self) -> int:
        return self.place[1]


def act_nonfinite(stage: Stage) -> NonfiniteRecord:
    """Spoil one value and train, evaluate, and differentiate, each time from the same state."""
    case, subject = stage.case, stage.subject
    batch = make_batch(case)
    start = keep_offered(stage, make_state(case))
    place = _choose_place(stage, start)
    layer = subject.make_layer(case, stage.device)
    gradients = subject.offers("gradients")

    def run(training: bool, x: Array, dy: Array, state: State = start) -> Played:
        layer.load(state)
        upstream = dy if gradients else None
        return play(lambda: layer.run(x, training=training, grad=stage.grad), layer.state, upstream)

    modes = (True, False) if subject.offers("evaluation", "running_statistics") else (True,)
    passes = {
        training: tuple(
            (value, run(training, _spoil(batch.x, place, value, case.layout), batch.dy)) for value in VALUES
        )
        for training in modes
    }
    upstream = tuple(
        (training, value, run(training, batch.x, _spoil(batch.dy, place, value, case.upstream_layout)))
        for training in (modes if gradients else ())
        for value in (np.nan, np.inf)
    )
    spoilt: tuple[tuple[bool, Played], ...] = ()
    if start.running_var is not None:
        var = np.array(start.running_var)
        var.reshape(-1)[place[1]] = np.nan
        state = replace(start, running_var=var)
        spoilt = tuple((training, run(training, batch.x, batch.dy, state)) for training in modes)
    return NonfiniteRecord(stage, batch, start, place, passes[True], passes.get(False, ()), upstream, spoilt)


def _choose_place(stage: Stage, start: State) -> tuple[int, ...]:
    """Any place of a channel whose gamma is not 0: there infinity times gamma would be NaN."""
    case, random = stage.case, stage.case.random("place")
    gamma = np.ones(case.channels) if start.gamma is None else start.gamma
    n, _, *positions = (int(random.randint(length)) for length in case.shape)
    return (n, int(random.choice(np.flatnonzero(gamma))), *positions)


def _spoil(values: Array, place: tuple[int, ...], value: float, layout: str) -> Array:
    """The values with one replaced, laid out as before."""
    spoilt = np.array(values, order="C")
    spoilt[place] = value
    return lay_out(spoilt, layout)
