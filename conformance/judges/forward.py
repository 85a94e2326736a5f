"""Family F: the forward pass in training."""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from bnspec.cases.layouts import channel_major

from ..acting import Played
from ..compare import VACUOUS, Judgement, compare, compare_bits, differs, worst_of
from ..expected import ExpectedPass
from ..experiments.history import HistoryRecord
from ..experiments.training import TrainingRecord
from ..experiments.variants import VariantsRecord


def judge_output(played: Played, expected: ExpectedPass, shape: tuple[int, ...], quantity: str = "y") -> Judgement:
    """y against its exact value, elementwise."""
    y = played.y.get()
    if y.shape != shape:
        return differs(f"shape of {quantity}", y.shape, shape)
    return compare(
        quantity,
        channel_major(y),
        expected.forward.y,
        expected.e_y,
        expected.terms.arithmetic,
        informative=expected.informative & (expected.magnitudes.gamma != 0),
    )


@lru_cache(maxsize=1)
def judge_f1(record: TrainingRecord) -> Judgement:
    """The output is the definition."""
    return judge_output(record.played, record.expected, record.batch.x.shape)


def judge_f1_in_history(record: HistoryRecord) -> Judgement:
    """The output of each of several batches is the definition, whatever needs a gradient."""
    checks = [
        judge_output(played, expected, batch.x.shape, f"y of batch {step}")
        for step, (played, expected, batch) in enumerate(
            zip(record.passes, record.expected[0], record.batches, strict=True), 1
        )
    ]
    return worst_of(*checks)


def judge_f1_in_variants(record: VariantsRecord) -> Judgement:
    """The output is the definition where nothing needs a gradient, under each state and momentum."""
    shape = record.batch.x.shape
    checks = [
        judge_output(played, expected, shape, "y without gradients")
        for played, expected in zip((*record.added, record.silent), record.expected, strict=True)
    ]
    checks += [
        judge_output(played, record.expected_moved, shape, f"y at momentum {momentum}")
        for momentum, played in record.moved
    ]
    return worst_of(*checks)


def judge_f7(record: TrainingRecord) -> Judgement:
    """Shape, dtype and device of y; x, gamma and beta bit for bit as they were."""
    case, played = record.stage.case, record.played
    description = played.forward.get().describe()
    after = played.after_backward.get()
    checks = [
        differs("shape of y", description.shape, record.batch.x.shape),
        differs("dtype of y", description.dtype, case.precision.storage.name),
        differs("device of y", description.device.split(":")[0], record.stage.device.split(":")[0]),
        compare_bits("x after the pass", played.x_after.get(), record.batch.x),
    ]
    if record.start.gamma is not None:
        checks.append(compare_bits("gamma after the pass", after.gamma, record.initial.get().gamma))
        checks.append(compare_bits("beta after the pass", after.beta, record.initial.get().beta))
    return worst_of(*checks)


def judge_f8(record: VariantsRecord) -> Judgement:
    """y(gamma1 + gamma2, beta1 + beta2) = y(gamma1, beta1) + y(gamma2, beta2), and y(0, beta) = beta."""
    shape = record.batch.x.shape
    expected = record.expected
    ys = [channel_major(played.y.get()) for played in record.added if played.y.get().shape == shape]
    silent = record.silent.y.get()
    if len(ys) < 3 or silent.shape != shape:
        return VACUOUS
    a = record.stage.terms.arithmetic
    bound = sum(each.e_y for each in expected[:3])
    additive = compare("y(sum of parameters)", ys[2], a.array(ys[0]) + a.array(ys[1]), np.asarray(bound), a,
                       informative=expected[0].informative)  # fmt: skip
    beta = a.array(np.repeat(expected[3].magnitudes.beta[:, None], ys[0].shape[1], axis=1))
    return worst_of(additive, compare("y at gamma = 0", channel_major(silent), beta, expected[3].e_y, a))


def judge_f13(record: VariantsRecord) -> Judgement:
    """y under other buffers and momenta is y."""
    shape = record.batch.x.shape
    y = record.added[0].y.get()
    if y.shape != shape:
        return VACUOUS
    a, base, moved = record.stage.terms.arithmetic, record.expected[0], record.expected_moved
    checks = []
    for momentum, played in record.moved:
        other = played.y.get()
        if other.shape != shape:
            return differs("shape of y under other buffers", other.shape, shape)
        checks.append(
            compare(f"y under other buffers and momentum {momentum}", channel_major(other), a.array(channel_major(y)),
                    base.e_y + moved.e_y, a, informative=base.informative)
        )  # fmt: skip
    return worst_of(*checks)
