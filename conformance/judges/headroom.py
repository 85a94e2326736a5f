"""Clause N7: how far below the bounds of class `stable` a layer stays."""

from __future__ import annotations

import math
from dataclasses import replace

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import Array
from bnspec.spec.measure import Measure

from ..compare import Judgement, compare, differs, worst_of
from ..expected import begin_buffers, expect_training, update_buffers
from ..experiments.training import TrainingRecord


def judge_n7(record: TrainingRecord) -> Judgement:
    """By how many bits each quantity stays below its bound in class `stable`."""
    checks = _compare_with_stable(record)
    measures = {name: _measure_headroom(c.ratio) for name, c in checks.items() if c.ratio is not None}
    return replace(worst_of(*checks.values()), measures=measures)


def _compare_with_stable(record: TrainingRecord) -> dict[str, Judgement]:
    """y, running statistics and gradients of a pass, each against the bound of class `stable`."""
    stage, played, batch = record.stage, record.played, record.batch
    subject, a = stage.subject, stage.terms.arithmetic
    terms = replace(stage.terms, algorithm="stable")
    expected = expect_training(terms, batch.x, record.start, stage.case.eps)
    told, y = expected.informative, played.y.get()
    if y.shape != batch.x.shape:
        return {"y": differs("shape of y", y.shape, batch.x.shape)}
    checks = {"y": compare("y", channel_major(y), expected.forward.y, expected.e_y, a, informative=told)}
    state = played.after_backward.get()
    if record.start.running_mean is not None:
        before = record.start.batches or 0
        buffers = update_buffers(begin_buffers(terms, record.start), expected, stage.case.momentum, before)
        for name, value, bound in (
            ("running_mean", buffers.mean, buffers.e_mean),
            ("running_var", buffers.var, buffers.e_var),
        ):
            observed = getattr(state, name)
            flat = None if observed is None else observed.reshape(-1)
            checks[name] = compare(name, flat, value, bound, a, axes=("channel",), informative=told)
    if subject.offers("gradients"):
        gradients = played.gradients.get()
        exact, e = expected.differentiate(batch.dy)
        asked = ("dx", gradients.x, exact.x, e.x), ("dgamma", gradients.gamma, exact.gamma, e.gamma)
        for name, observed, value, bound in (*asked, ("dbeta", gradients.beta, exact.beta, e.beta)):
            if name == "dx" or subject.offers(name[1:]):
                rows = observed if observed is None else _as_rows(observed, bound.ndim)
                checks[name] = compare(name, rows, value, bound, a, informative=told)
    return checks


def _as_rows(observed: Array, rank: int) -> Array:
    """dx as (C, m), parameters' gradients as (C,)."""
    return channel_major(observed) if rank == 2 else observed.reshape(-1)


def _measure_headroom(ratio: float) -> Measure:
    if not ratio:
        return Measure((math.inf,), "exact")
    bits = -math.log2(ratio) if math.isfinite(ratio) else -math.inf
    return Measure((bits,), f"{bits:.1f} bits" if math.isfinite(bits) else "beyond any bound")
