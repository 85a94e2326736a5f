"""Clauses that ask for F1, R2 and G1 on a certain kind of batch: layouts, ranks, coincidences, sizes, formats.

One training pass is judged once, and its judgement stands for every clause whose kind of batch it was.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from bnspec.cases.case import Case

from ..compare import VACUOUS, Array, Judgement, compare, want_finite, worst_of
from ..experiments.training import TrainingRecord
from .forward import judge_f1
from .gradients import judge_g1
from .running import judge_r2

Judge = Callable[[TrainingRecord], Judgement]
BLOCK = 31
"""From here on numbers of values and of channels meet the block sizes of kernels."""


def judge_pass(record: TrainingRecord) -> Judgement:
    """Output, running statistics and gradients of a training pass, whatever of it the subject offers."""
    subject, checks = record.stage.subject, [judge_f1(record)]
    if subject.offers("running_statistics"):
        checks.append(judge_r2(record))
    if subject.offers("gradients"):
        checks.append(judge_g1(record))
    return worst_of(*checks)


def where(belongs: Callable[[Case], bool]) -> Judge:
    """A judge that has a say on the batches that belong."""

    def judge(record: TrainingRecord) -> Judgement:
        return judge_pass(record) if belongs(record.stage.case) else VACUOUS

    return judge


def is_laid_out(case: Case) -> bool:
    """Whether x has other strides than a contiguous copy (see `lay_out`); of one channel, whether its values have."""
    n, c, *positions = case.shape
    if c == 1:
        return case.layout in ("strided", "sliced", "offset") and n > 1
    return case.layout != "contiguous" and min(n, c, *positions) > 1


def is_channels_last(case: Case) -> bool:
    """Whether x of rank 4 or 5 has the channel innermost."""
    return is_laid_out(case) and case.layout.startswith("channels_last") and len(case.shape) in (4, 5)


def is_coincidence(case: Case) -> bool:
    """C = 1, N = 1 with positions, N = C, D1 = C, or all dimensions different."""
    n, c, *positions = case.shape
    return c == 1 or n in (1, c) or c in positions[:1] or len(set(case.shape)) == len(case.shape)


def is_large(case: Case) -> bool:
    """As many values or channels as a block of a kernel holds, or more."""
    return case.count >= BLOCK or case.channels >= BLOCK


def judge_n2(record: TrainingRecord) -> Judgement:
    """Finite output, statistics and gradients wherever a bound is."""
    played, expected = record.played, record.expected
    seen: list[tuple[str, Array | None, bool]] = [("y", played.y.get(), bool(np.isfinite(expected.e_y).all()))]
    if record.stage.subject.offers("running_statistics"):
        state, bounds = played.after_forward.get(), record.expected_buffers
        seen += [
            ("running_mean", state.running_mean, bool(np.isfinite(bounds.e_mean).all())),
            ("running_var", state.running_var, bool(np.isfinite(bounds.e_var).all())),
        ]
    if record.stage.subject.offers("gradients"):
        gradients, bound = played.gradients.get(), record.expected_gradients[1]
        seen += [
            (name, array, bool(np.isfinite(limit).all()))
            for name, array, limit in (
                ("dx", gradients.x, bound.x), ("dgamma", gradients.gamma, bound.gamma),
                ("dbeta", gradients.beta, bound.beta),
            )
        ]  # fmt: skip
    claimed = [(name, array) for name, array, claim in seen if claim and array is not None]
    return worst_of(*(want_finite(f"values of {name} that are not finite", array, np.ones(array.shape, bool))
                      for name, array in claimed))  # fmt: skip


def judge_r10(record: TrainingRecord) -> Judgement:
    """running_var where eps, had it leaked in with the weight of the batch, would be off by ten bounds."""
    state, exact = record.played.after_forward.get(), record.expected_buffers
    a, case = record.stage.terms.arithmetic, record.stage.case
    observed = state.running_var
    if observed is not None and observed.size == case.channels:
        observed = observed.reshape(-1)
    leak = record.weight * record.expected.eps
    return compare("running_var at this eps", observed, exact.var, exact.e_var, a, axes=("channel",),
                   informative=exact.e_var * 10 <= leak)  # fmt: skip


def judge_g9(record: TrainingRecord) -> Judgement:
    """The gradients of channels whose gamma is zero or negative."""
    expected, a = record.expected, record.stage.terms.arithmetic
    kept = expected.magnitudes.gamma <= 0
    gradients, shape = record.played.gradients.get(), record.batch.x.shape
    if not kept.any() or gradients.x is None or gradients.x.shape != shape:
        return VACUOUS
    exact, bound = record.expected_gradients
    dx = np.moveaxis(gradients.x, 1, 0).reshape(shape[1], -1)
    tells = expected.informative[kept]
    checks = [compare("dx where gamma <= 0", dx[kept], exact.x[kept], bound.x[kept], a, informative=tells)]
    for name, seen, right, limit in (
        ("dgamma", gradients.gamma, exact.gamma, bound.gamma),
        ("dbeta", gradients.beta, exact.beta, bound.beta),
    ):
        if seen is not None and seen.size == len(kept):
            flat = seen.reshape(-1)[kept]
            checks.append(compare(f"{name} where gamma <= 0", flat, right[kept], limit[kept], a, axes=("channel",)))
    return worst_of(*checks)
