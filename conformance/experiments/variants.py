"""One batch under other buffers, momenta and parameters."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.layers.protocol import NONE, OFF, Array, Grad, Layer, State

from ..acting import Played, Stage, play
from ..expected import ExpectedPass, expect_training
from .states import keep_offered


@dataclass(frozen=True)
class VariantsRecord:
    """Training forwards of one batch under other buffers, momenta and parameters.

    `added` holds y at (gamma1, beta1), at (gamma2, beta2) and at their sum, whose parameters are exact; `silent` at
    gamma = 0. `moved` pairs each other momentum with the pass from other buffers under it.
    """

    stage: Stage
    batch: Batch
    starts: tuple[State, ...]
    added: tuple[Played, Played, Played]
    silent: Played
    others: State
    moved: tuple[tuple[float | None, Played], ...]

    @cached_property
    def expected(self) -> tuple[ExpectedPass, ...]:
        """The passes from `starts`."""
        return tuple(self._expect(state) for state in self.starts)

    @cached_property
    def expected_moved(self) -> ExpectedPass:
        """The pass from `others`, at any momentum."""
        return self._expect(self.others)

    def _expect(self, state: State) -> ExpectedPass:
        return expect_training(self.stage.terms, self.batch.x, state, self.stage.case.eps)


def act_variants(stage: Stage) -> VariantsRecord:
    """Run one batch at three parameters in arithmetic progression, at gamma = 0, and from other buffers."""
    case, subject = stage.case, stage.subject
    batch = make_batch(case)
    first, second = (_on_grid(make_state(case, stream)) for stream in ("state", "second"))
    # A frozen layer normalises with its buffers, so that they stay while the parameters vary.
    second = replace(second, running_mean=first.running_mean, running_var=first.running_var)
    both = replace(first, gamma=first.gamma + second.gamma, beta=first.beta + second.beta)  # type: ignore[operator]  # a drawn state has both
    silent = replace(first, gamma=np.zeros_like(first.gamma))
    starts = tuple(keep_offered(stage, state) for state in (first, second, both, silent))
    other = make_state(case, "other")
    others = keep_offered(
        stage,
        replace(first, running_mean=_times(other.running_mean, 3), running_var=_times(other.running_var, 4)),
    )
    layer = subject.make_layer(case, stage.device)
    passes = [_forward(layer, state, batch, grad) for state, grad in zip(starts, (NONE, OFF, NONE, OFF), strict=True)]
    momenta = [case.momentum]
    if subject.frees_momentum:
        momenta += [end for end in (0.0, 1.0) if end != case.momentum and subject.may_weigh(end)]
    moved = []
    for momentum in momenta:
        other_layer = subject.make_layer(case, stage.device, momentum=momentum)
        moved.append((momentum, _forward(other_layer, others, batch, NONE)))
    first_pass, second_pass, sum_pass, silent_pass = passes
    added = (first_pass, second_pass, sum_pass)
    return VariantsRecord(stage, batch, starts, added, silent_pass, others, tuple(moved))


def _forward(layer: Layer, state: State, batch: Batch, grad: Grad) -> Played:
    layer.load(state)
    return play(lambda: layer.run(batch.x, training=True, grad=grad), layer.state, None)


def _times(buffer: Array | None, factor: int) -> Array | None:
    return None if buffer is None else np.asarray(buffer * factor)


def _on_grid(state: State) -> State:
    """Round parameters to 1/64, so that sums of two are exact in every format."""
    gamma, beta = (
        (np.round(np.asarray(p, np.float64) * 64) / 64).astype(p.dtype)  # type: ignore[union-attr]  # as above
        for p in (state.gamma, state.beta)
    )
    return replace(state, gamma=gamma, beta=beta)
