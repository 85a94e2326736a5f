"""Family N: numerics."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import Array
from bnspec.spec.dialects import is_frozen
from bnspec.spec.equations import weight_of_new_batch

from ..acting import Played
from ..compare import VACUOUS, Evidence, Judgement, compare, compare_bits, differs, want_finite, want_nan, worst_of
from ..experiments.nonfinite import NonfiniteRecord


def judge_n6(record: NonfiniteRecord) -> Judgement:
    """What is not finite stays in its channel in training, in its place in evaluation, and is lost in neither."""
    checks = [_judge_pass(record, True, value, played) for value, played in record.trained]
    checks += [_judge_pass(record, False, value, played) for value, played in record.evaluated]
    checks += [_judge_upstream(record, *upstream) for upstream in record.upstream]
    checks += [_judge_spoilt(record, training, played) for training, played in record.spoilt]
    return worst_of(*checks)


def _judge_pass(record: NonfiniteRecord, training: bool, value: float, played: Played) -> Judgement:
    """y, the running statistics and the gradients of the other channels, of a batch with one value replaced."""
    when = f" of a batch with one {value} in channel {record.channel}, in {'training' if training else 'evaluation'}"
    expected, a, j = record.expected(training), record.stage.terms.arithmetic, record.channel
    y = played.y.get()
    if y.shape != record.batch.x.shape:
        return differs(f"shape of y{when}", y.shape, record.batch.x.shape)
    coupled = training and not is_frozen(record.stage.subject.dialect)
    if coupled:
        # NaN is, unless it is clamped to 0 in the variance.
        checks = [_want_lost(value, f"y of that channel{when}", y, _mark(y, (slice(None), j)))]
    else:
        wanted = float(np.sign(expected.magnitudes.gamma[j]) * value)
        kept = compare_bits(f"y of that place{when}", np.asarray(float(y[record.place])), np.asarray(wanted))
        checks = [replace(kept, evidence=Evidence(y, record.place, wanted, None))]
    bound = _leave_out(record, expected.e_y, whole_channel=coupled)
    checks.append(compare(f"y{when}", channel_major(y), expected.forward.y, bound, a))
    if training and record.start.running_mean is not None:
        checks.append(_judge_buffers(record, played, when))
    if record.upstream:
        checks.append(_judge_gradients(record, training, played, when))
    return worst_of(*checks)


def _judge_buffers(record: NonfiniteRecord, played: Played, when: str) -> Judgement:
    """One of the channel's is not finite, where the batch has any weight; those of others are as without it.

    Not both, because the maximum that clamps a variance may be IEEE 754's maxNum, which gives 0 for NaN.
    """
    terms, j, state = record.stage.terms, record.channel, played.after_forward.get()
    exact = record.expected_buffers
    weight = weight_of_new_batch(terms.dialect, record.stage.case.momentum, record.start.batches or 0, terms.arithmetic)
    learns = float(terms.arithmetic.float64(weight)) > 0 and not is_frozen(terms.dialect)
    checks, spoilt = [], list[Judgement]()
    for name, observed, wanted, bound in (
        ("running_mean", state.running_mean, exact.mean, exact.e_mean),
        ("running_var", state.running_var, exact.var, exact.e_var),
    ):
        if observed is None or observed.size != len(bound):
            return VACUOUS  # R1's matter
        flat = observed.reshape(-1)
        words = f"running statistics of that channel after one step{when}"
        spoilt.append(want_finite(words, flat, _mark(flat, (j,)), finite=False))
        others = np.where(np.arange(len(bound)) == j, np.inf, bound)
        checks.append(
            compare(f"{name} after one step{when}", flat, wanted, others, terms.arithmetic, axes=("channel",))
        )
    if learns:
        checks.append(next((each for each in spoilt if not each.failed), spoilt[0]))
    return worst_of(*checks)


def _judge_upstream(record: NonfiniteRecord, training: bool, value: float, played: Played) -> Judgement:
    """NaN or infinity in g: in all of dx of its channel in training, in its place in evaluation, in d_gamma, d_beta."""
    j = record.channel
    when = f" for one {value} in g in channel {j}, in {'training' if training else 'evaluation'}"
    gradients = played.gradients.get()
    checks = []
    if gradients.x is not None and gradients.x.shape == record.batch.x.shape:
        coupled = training and not is_frozen(record.stage.subject.dialect)
        reached = _mark(gradients.x, (slice(None), j) if coupled else record.place)
        words = f"dx of that {'channel' if coupled else 'place'}{when}"
        checks.append(_want_lost(value, words, gradients.x, reached))
    for name, found in (("dgamma", gradients.gamma), ("dbeta", gradients.beta)):
        if found is not None and record.stage.subject.offers("affine"):
            flat = found.reshape(-1)
            checks.append(_want_lost(value, f"{name} of that channel{when}", flat, _mark(flat, (j,))))
    return worst_of(*checks, _judge_gradients(record, training, played, when))


def _judge_spoilt(record: NonfiniteRecord, training: bool, played: Played) -> Judgement:
    """A NaN in the running variance: all of y of its channel where that normalises, and NaN it stays in training."""
    j, terms = record.channel, record.stage.terms
    when = f" where running_var of channel {j} is nan, in {'training' if training else 'evaluation'}"
    expected, y = record.expected(training), played.y.get()
    if y.shape != record.batch.x.shape:
        return differs(f"shape of y{when}", y.shape, record.batch.x.shape)
    reached = not training or is_frozen(terms.dialect)
    checks = [want_nan(f"y of that channel{when}", y, _mark(y, (slice(None), j)))] if reached else []
    bound = np.where((np.arange(y.shape[1]) == j)[:, None] & reached, np.inf, expected.e_y)
    checks.append(compare(f"y{when}", channel_major(y), expected.forward.y, bound, terms.arithmetic))
    weight = weight_of_new_batch(terms.dialect, record.stage.case.momentum, record.start.batches or 0, terms.arithmetic)
    var = played.after_forward.get().running_var
    keeps = not training or is_frozen(terms.dialect) or float(terms.arithmetic.float64(weight)) < 1
    if var is not None and var.size == y.shape[1] and keeps:
        flat = var.reshape(-1)
        checks.append(want_nan(f"running_var of that channel{when}", flat, _mark(flat, (j,))))
    return worst_of(*checks)


def _judge_gradients(record: NonfiniteRecord, training: bool, played: Played, when: str) -> Judgement:
    """Of all other channels, against those of the finite batch and the finite g."""
    a = record.stage.terms.arithmetic
    exact, bound = record.expected_gradients(training)
    gradients = played.gradients.get()
    others = np.where(np.arange(record.stage.case.channels) == record.channel, np.inf, 0.0)
    checks = []
    if gradients.x is not None and gradients.x.shape == record.batch.x.shape:
        limit = bound.x + others[:, None]
        checks.append(compare(f"dx{when}", channel_major(gradients.x), exact.x, limit, a))
    if record.stage.subject.offers("affine"):
        for name, found, value, limit in (
            ("dgamma", gradients.gamma, exact.gamma, bound.gamma),
            ("dbeta", gradients.beta, exact.beta, bound.beta),
        ):
            if found is not None:
                checks.append(compare(f"{name}{when}", found.reshape(-1), value, limit + others, a, axes=("channel",)))
    return worst_of(*checks)


def _leave_out(record: NonfiniteRecord, bound: Array, *, whole_channel: bool) -> Array:
    """The bound (C, m) without a claim on the channel, or on the place, that was spoilt."""
    spoilt = np.zeros(record.batch.x.shape, bool)
    spoilt[:, record.channel] = whole_channel
    spoilt[record.place] = True
    return np.where(channel_major(spoilt), np.inf, bound)


def _mark(a: Array, place: tuple[Any, ...]) -> NDArray[np.bool_]:
    """True at a place of the array, or at several."""
    marked = np.zeros(a.shape, bool)
    marked[place] = True
    return marked


def _want_lost(value: float, quantity: str, observed: Array, asked: NDArray[np.bool_]) -> Judgement:
    """Judge that NaN, or an infinity, came to all values that are asked about."""
    if np.isnan(value):
        return want_nan(quantity, observed, asked)
    return want_finite(quantity, observed, asked, finite=False)
