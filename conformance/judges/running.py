"""Family R: running statistics."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bnspec.layers.protocol import Array, State
from bnspec.spec.formats import FORMATS

from ..acting import Attempt, Played, Stage
from ..compare import VACUOUS, Judgement, compare, compare_bits, differs, worst_of
from ..expected import ExpectedBuffers, begin_buffers, update_buffers
from ..experiments.gradients import GradientRecord, name_grad
from ..experiments.history import HistoryRecord
from ..experiments.memory import MemoryRecord
from ..experiments.states import initial_state
from ..experiments.training import TrainingRecord
from ..experiments.variants import VariantsRecord


def judge_buffers(state: State, expected: ExpectedBuffers, stage: Stage, after: str) -> Judgement:
    """Running mean and variance against their exact values. Their shape is R1's matter, so only values count here."""
    a = stage.terms.arithmetic
    return worst_of(
        *(
            compare(f"{name} after {after}", _flat(observed, stage), exact, bound, a, axes=("channel",),
                    informative=bound <= 0.1 * np.abs(a.float64(exact)))
            for name, observed, exact, bound in (
                ("running_mean", state.running_mean, expected.mean, expected.e_mean),
                ("running_var", state.running_var, expected.var, expected.e_var),
            )
        )
    )  # fmt: skip


def _flat(buffer: Array | None, stage: Stage) -> Array | None:
    return buffer.reshape(-1) if buffer is not None and buffer.size == stage.case.channels else buffer


def judge_r1(record: TrainingRecord) -> Judgement:
    """Fresh buffers hold the dialect's initial values, in a shape that a batch does not change."""
    stage = record.stage
    fresh, wanted = record.initial.get(), initial_state(stage)
    checks = [
        _judge_initial("running_mean", fresh.running_mean, wanted.running_mean),
        _judge_initial_var(stage, fresh.running_var, wanted.running_var),
        judge_shape(record),
    ]
    if fresh.batches is not None:
        checks.append(differs("initial number of batches", fresh.batches, 0))
    return worst_of(*checks)


def _judge_initial(name: str, observed: Array | None, wanted: Array | None) -> Judgement:
    if observed is None or wanted is None:
        return differs(f"initial {name}", "nothing", "an array")
    return compare_bits(f"initial {name}", observed.reshape(-1).astype(wanted.dtype), wanted)


def _judge_initial_var(stage: Stage, observed: Array | None, wanted: Array | None) -> Judgement:
    """Bit for bit, unless it is formed of eps: both steps of 1 - eps round, and so does a conversion afterwards."""
    if observed is None or not isinstance(stage.subject.dialect.initial_var, str):
        return _judge_initial("running_var", observed, wanted)
    eps, a = stage.case.eps, stage.terms.arithmetic
    u = max(FORMATS["float32"].unit_roundoff, stage.case.precision.parameters.unit_roundoff)
    exact, bound = np.full(stage.case.channels, 1 - eps), np.full(stage.case.channels, 2 * u * (1 + 2 * eps))
    return compare("initial running_var", _flat(observed, stage), a.array(exact), bound, a, axes=("channel",))


def judge_shape(record: TrainingRecord) -> Judgement:
    """The buffers after a batch have the shape and dtype that they had before it."""
    before, after = record.initial.get(), record.played.after_backward.get()
    checks = []
    for name in ("running_mean", "running_var"):
        old, new = getattr(before, name), getattr(after, name)
        if old is None or new is None:
            checks.append(differs(f"{name} after a batch", _presence(new), _presence(old)))
        else:
            checks.append(differs(f"shape of {name} after a batch", new.shape, old.shape))
            checks.append(differs(f"dtype of {name} after a batch", str(new.dtype), str(old.dtype)))
    return worst_of(*checks)


def _presence(buffer: Array | None) -> str:
    return "nothing" if buffer is None else "an array"


@lru_cache(maxsize=1)
def judge_r2(record: TrainingRecord) -> Judgement:
    """The buffers after one batch."""
    state = record.played.after_forward.get()
    return judge_buffers(state, record.expected_buffers, record.stage, "one batch")


def judge_r6(record: TrainingRecord) -> Judgement:
    """R2 where the batch alone would give another m."""
    if record.batch.x.shape[0] == record.stage.case.count:
        return VACUOUS
    return judge_r2(record)


def judge_r7(record: TrainingRecord) -> Judgement:
    """One update in the forward, none in the backward."""
    return _judge_update(record.played, record.expected_buffers, record.stage, "a forward")


def judge_r7_by_subset(record: GradientRecord) -> Judgement:
    """One update whatever needs a gradient, or with recording off."""
    if not record.stage.case.training:
        return VACUOUS
    return worst_of(
        *(
            _judge_update(played, record.expected_buffers, record.stage, f"a forward when {name_grad(grad)}")
            for grad, played in (*record.subsets, *record.unasked)
        )
    )


def _judge_update(played: Played, expected: ExpectedBuffers, stage: Stage, after: str) -> Judgement:
    played.forward.get()
    left, later = played.after_forward.get(), played.after_backward.get()
    kept = [
        compare_bits(f"{name} after the backward", getattr(later, name), getattr(left, name))
        for name in ("running_mean", "running_var")
    ]
    return worst_of(judge_buffers(left, expected, stage, after), *kept)


def judge_r11(record: TrainingRecord) -> Judgement:
    """One more after a batch, and no more after its backward."""
    return _judge_count(record.played, record.start, "a training batch")


def judge_r11_by_subset(record: GradientRecord) -> Judgement:
    """One more after a batch, whatever needs a gradient, or with recording off."""
    if not record.stage.case.training:
        return VACUOUS
    return worst_of(
        *(
            _judge_count(played, record.start, f"a batch when {name_grad(grad)}")
            for grad, played in (*record.subsets, *record.unasked)
        )
    )


def _judge_count(played: Played, start: State, after: str) -> Judgement:
    played.forward.get()
    wanted = (start.batches or 0) + 1
    return worst_of(
        differs(f"number of batches after {after}", played.after_forward.get().batches, wanted),
        differs(f"number of batches after {after} and its backward", played.after_backward.get().batches, wanted),
    )


def judge_r8(record: TrainingRecord) -> Judgement:
    """Neither buffer takes part in the graph of a pass whose input needed a gradient."""
    checks = []
    for name, attempted in zip(("running_mean", "running_var"), record.buffers, strict=True):
        description = attempted.get()
        if description is not None:
            held = "the graph of the pass" if description.holds_graph else "no graph"
            checks.append(differs(f"{name} after a batch keeps", held, "no graph"))
    return worst_of(*checks)


def judge_r8_in_memory(record: MemoryRecord) -> Judgement:
    """The input of a dropped pass can be collected."""
    held = "alive after the pass and two more" if record.held.get() else "collected"
    return differs("the input of a dropped pass is", held, "collected")


def judge_r5(record: VariantsRecord) -> Judgement:
    """Momenta at both ends of [0, 1] and between, from the same buffers."""
    stage, batch = record.stage, record.expected_moved
    checks = []
    for momentum, played in record.moved:
        exact = update_buffers(begin_buffers(stage.terms, record.others), batch, momentum, record.others.batches or 0)
        state: Attempt[State] = played.after_forward
        played.forward.get()
        checks.append(judge_buffers(state.get(), exact, stage, f"one batch at momentum {momentum}"))
    return worst_of(*checks)


def judge_history(record: HistoryRecord) -> Judgement:
    """The buffers after several batches: each with the weight that momentum gives it, or the plain average."""
    for played in record.passes:
        played.forward.get()
    after = f"{len(record.batches)} batches"
    return judge_buffers(record.passes[-1].after_forward.get(), record.expected[1], record.stage, after)
