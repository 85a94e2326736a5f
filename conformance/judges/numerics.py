"""Family N: numerics."""

from __future__ import annotations

import numpy as np

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import Array
from bnspec.spec.dialects import is_frozen
from bnspec.spec.equations import weight_of_new_batch

from ..acting import Played
from ..compare import VACUOUS, Judgement, compare, differs, worst_of
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
        lost = _all_nan if np.isnan(value) else _none_finite  # NaN, unless NaN is clamped to 0 in the variance
        checks = [lost(f"y of that channel{when}", y[:, j])]
    else:
        sign = np.sign(float(expected.magnitudes.gamma[j]))
        checks = [differs(f"y of that place{when}", _word(float(y[record.place])), _word(sign * value))]
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
    checks, spoilt = [], list[bool]()
    for name, observed, wanted, bound in (
        ("running_mean", state.running_mean, exact.mean, exact.e_mean),
        ("running_var", state.running_var, exact.var, exact.e_var),
    ):
        if observed is None or observed.size != len(bound):
            return VACUOUS  # R1's matter
        flat = observed.reshape(-1)
        spoilt.append(not np.isfinite(flat[j]))
        others = np.where(np.arange(len(bound)) == j, np.inf, bound)
        checks.append(
            compare(f"{name} after one step{when}", flat, wanted, others, terms.arithmetic, axes=("channel",))
        )
    if learns:
        word = "not finite" if any(spoilt) else "finite"
        checks.append(differs(f"running statistics of that channel after one step{when}", word, "not finite"))
    return worst_of(*checks)


def _judge_upstream(record: NonfiniteRecord, training: bool, value: float, played: Played) -> Judgement:
    """NaN or infinity in g: in all of dx of its channel in training, in its place in evaluation, in d_gamma, d_beta."""
    j = record.channel
    when = f" for one {value} in g in channel {j}, in {'training' if training else 'evaluation'}"
    lost = _all_nan if np.isnan(value) else _none_finite
    gradients = played.gradients.get()
    checks = []
    if gradients.x is not None and gradients.x.shape == record.batch.x.shape:
        coupled = training and not is_frozen(record.stage.subject.dialect)
        reached = gradients.x[:, j] if coupled else gradients.x[record.place]
        checks.append(lost(f"dx of that {'channel' if coupled else 'place'}{when}", np.asarray(reached)))
    for name, found in (("dgamma", gradients.gamma), ("dbeta", gradients.beta)):
        if found is not None and record.stage.subject.offers("affine"):
            checks.append(lost(f"{name} of that channel{when}", found.reshape(-1)[j : j + 1]))
    return worst_of(*checks, _judge_gradients(record, training, played, when))


def _judge_spoilt(record: NonfiniteRecord, training: bool, played: Played) -> Judgement:
    """A NaN in the running variance: all of y of its channel where that normalises, and NaN it stays in training."""
    j, terms = record.channel, record.stage.terms
    when = f" where running_var of channel {j} is nan, in {'training' if training else 'evaluation'}"
    expected, y = record.expected(training), played.y.get()
    if y.shape != record.batch.x.shape:
        return differs(f"shape of y{when}", y.shape, record.batch.x.shape)
    reached = not training or is_frozen(terms.dialect)
    checks = [_all_nan(f"y of that channel{when}", y[:, j])] if reached else []
    bound = np.where((np.arange(y.shape[1]) == j)[:, None] & reached, np.inf, expected.e_y)
    checks.append(compare(f"y{when}", channel_major(y), expected.forward.y, bound, terms.arithmetic))
    weight = weight_of_new_batch(terms.dialect, record.stage.case.momentum, record.start.batches or 0, terms.arithmetic)
    var = played.after_forward.get().running_var
    keeps = not training or is_frozen(terms.dialect) or float(terms.arithmetic.float64(weight)) < 1
    if var is not None and var.size == y.shape[1] and keeps:
        checks.append(_all_nan(f"running_var of that channel{when}", var.reshape(-1)[j : j + 1]))
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


def _all_nan(quantity: str, values: Array) -> Judgement:
    """Judge that every value is NaN."""
    held = values[~np.isnan(values)].reshape(-1)
    return differs(quantity, _word(held[0]) if held.size else "nan", "nan")


def _none_finite(quantity: str, values: Array) -> Judgement:
    """Judge that no value is finite."""
    held = values[np.isfinite(values)].reshape(-1)
    return differs(quantity, _word(held[0]) if held.size else "not finite", "not finite")


def _word(value: float) -> str:
    """NaN, an infinity, or the number."""
    return repr(float(value))
