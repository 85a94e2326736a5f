"""Gradients against the weights before the layer (G11) and against differences of its own outputs (G12)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import Array
from bnspec.spec.precision import Number
from bnspec.spec.truncation import bound_truncation

from ..compare import VACUOUS, Judgement, compare, worst_of
from ..experiments.differences import DifferencesRecord, Neighbour
from ..experiments.weights import WeightsPass, WeightsRecord, upstream_of


def judge_g11(record: WeightsRecord) -> Judgement:
    """inner(W_j, dL/dW_j) = gamma d_gamma delta, and c times dL/dW at (c W, c^2 eps) is that at (W, eps)."""
    plain, a = record.plain, record.stage.terms.arithmetic
    found = _differentiate_weights(record, plain)
    if found is None:
        return VACUOUS
    expected, (exact, error) = plain.expected, plain.gradients
    by_rows = [a.array(plain.weights[:, d]) * column for d, column in enumerate(found)]
    telling = expected.informative & (expected.magnitudes.gamma != 0)
    rstd = expected.forward.rstd
    wanted = expected.gamma * exact.gamma * a.array(np.asarray(expected.eps)) * rstd * rstd
    bound, cancelling = (_weigh(expected.x, each) for each in (error.x, np.abs(a.float64(exact.x))))
    checks = [compare("inner(W, dL/dW)", sum(by_rows[1:], by_rows[0]), wanted, bound, a,
                      informative=telling & (bound <= 0.1 * cancelling), axes=("channel",))]  # fmt: skip
    scaled = record.scaled
    other = None if scaled is None else _differentiate_weights(record, scaled)
    if scaled is not None and other is not None:
        both = error.x + record.c * scaled.gradients[1].x
        for d, (one, two) in enumerate(zip(found, other, strict=True)):
            checks.append(
                compare(f"c dL/dW at (c W, c^2 eps), input {d}", two * record.c, one, _weigh(record.inputs[d], both), a,
                        informative=telling, axes=("channel",))
            )  # fmt: skip
    return worst_of(*checks)


def _weigh(values: Array, bound: NDArray[np.float64]) -> NDArray[np.float64]:
    """sum |values| bound, a channel: what errors within the bound may add up to; no number where it is unbounded."""
    with np.errstate(all="ignore"):
        return np.asarray((np.abs(values) * bound).sum(axis=1))


def _differentiate_weights(record: WeightsRecord, passed: WeightsPass) -> list[Number] | None:
    """dL/dW, a column (C,) an input, from the layer's own dz in the exact arithmetic."""
    dz, a = upstream_of(passed), record.stage.terms.arithmetic
    return None if dz is None else [(a.array(dz) * a.array(row)).sum(axis=1) for row in record.inputs]


def judge_g12(record: DifferencesRecord) -> Judgement:
    """2 sum dx step = L(x + step) - L(x - step), d_gamma and d_beta = L one further - L, for L = sum g y."""
    shape, base = record.base.x.shape, record.base
    a, error = record.stage.terms.arithmetic, record.gradient_error
    gradients = base.played.gradients.get()
    around = [each for each in (base, record.ahead, record.behind, record.gamma, record.beta) if each is not None]
    if any(each.played.y.get().shape != shape for each in around) or gradients.x is None or gradients.x.shape != shape:
        return VACUOUS
    dy, k, eps = channel_major(record.dy), base.expected.k, base.expected.eps
    gamma, var = base.expected.magnitudes.gamma, a.float64(base.expected.forward.var)
    off = 0.0 if k is None else bound_truncation(record.step, dy.astype(np.float64), gamma, var, eps, k)
    along = (a.array(channel_major(gradients.x)) * a.array(record.step)).sum(axis=1)
    limit = 2 * _weigh(record.step, error.x) + off
    checks = [_judge_difference("2 sum dx step", along + along, limit, record.ahead, record.behind, record)]
    for name, got, limit, neighbour in (
        ("dgamma", gradients.gamma, error.gamma, record.gamma),
        ("dbeta", gradients.beta, error.beta, record.beta),
    ):
        if neighbour is not None and got is not None and got.size == len(dy):
            checks.append(_judge_difference(name, a.array(got.reshape(-1)), limit, neighbour, base, record))
    return worst_of(*checks)


def _judge_difference(
    name: str, gradient: Number, bound: NDArray[np.float64], one: Neighbour, other: Neighbour, record: DifferencesRecord
) -> Judgement:
    """A derivative within `bound` against a difference of the layer's own L; useful where a hundredth would show."""
    a, dy = record.stage.terms.arithmetic, channel_major(record.dy)
    loss = [(a.array(channel_major(each.played.y.get())) * a.array(dy)).sum(axis=1) for each in (one, other)]
    wanted = loss[0] - loss[1]
    bound = bound + _weigh(dy, one.expected.e_y + other.expected.e_y)
    telling = bound <= 0.01 * np.abs(a.float64(wanted))
    return compare(f"{name}, beside the difference of the outputs,", gradient, wanted, bound, a, informative=telling,
                   axes=("channel",))  # fmt: skip
