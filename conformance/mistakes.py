"""Known mistakes, as formulas: what a wrong layer would have answered. A failure that matches one says so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.layouts import channel_major
from bnspec.spec.equations import blend
from bnspec.spec.precision import Number

from .compare import compare
from .exact import Exact
from .experiments.training import TrainingRecord

Array = NDArray[Any]
Floats = NDArray[np.float64]
Formula = Callable[[Exact], Number]

MISTAKES: dict[str, dict[str, Formula]] = {
    "running_var": {
        "the biased variance were stored: it is the wanted one times (m-1)/m": lambda e: blend(e.rv, e.s2, e.a),
        "the unbiased variance were stored": lambda e: blend(e.rv, e.s2 * e.m / (e.m - 1), e.a),
        "N/(N-1), of examples alone, stood for m/(m-1)": lambda e: blend(e.rv, e.s2 * e.bessel_of_examples, e.a),
        "eps had leaked into the stored variance": lambda e: blend(e.rv, e.stored + e.eps, e.a),
        "the standard deviation were stored": lambda e: blend(e.rv, e.sqrt(e.stored), e.a),
        "1/sqrt(variance + eps) were stored": lambda e: blend(e.rv, e.r, e.a),
        "the root of the sum of variance and eps were stored": lambda e: blend(e.rv, e.sqrt(e.stored + e.eps), e.a),
        "momentum weighed the other statistic": lambda e: blend(e.stored, e.rv, e.a),
        "it were never updated": lambda e: e.rv,
        "it were updated twice": lambda e: blend(blend(e.rv, e.stored, e.a), e.stored, e.a),
        "the batch replaced it, whatever momentum is": lambda e: e.stored,
        "momentum were 0.1, whatever was given": lambda e: blend(e.rv, e.stored, e.number(0.1)),
        "the old value did not decay": lambda e: e.rv + e.stored * e.a,
    },
    "running_mean": {
        "momentum weighed the other statistic": lambda e: blend(e.mu, e.rm, e.a),
        "it were never updated": lambda e: e.rm,
        "it were updated twice": lambda e: blend(blend(e.rm, e.mu, e.a), e.mu, e.a),
        "the batch replaced it, whatever momentum is": lambda e: e.mu,
        "momentum were 0.1, whatever was given": lambda e: blend(e.rm, e.mu, e.number(0.1)),
        "the old value did not decay": lambda e: e.rm + e.mu * e.a,
    },
    "y": {
        "the unbiased variance normalised": lambda e: e.by(e.sqrt(e.s2 * e.m / (e.m - 1) + e.eps)),
        "the biased variance normalised": lambda e: e.by(e.sqrt(e.s2 + e.eps)),
        "eps were added outside the root": lambda e: e.by(e.sqrt(e.v) + e.eps),
        "eps were left out": lambda e: e.by(e.sqrt(e.v)),
        "eps were added twice": lambda e: e.by(e.sqrt(e.v + e.eps * 2)),
        "eps were squared": lambda e: e.by(e.sqrt(e.v + e.eps * e.eps)),
        "eps were 1e-5, whatever was given": lambda e: e.by(e.sqrt(e.v + 1e-5)),
        "the root were forgotten": lambda e: e.by(e.v + e.eps),
        "the larger of variance and eps stood for their sum": lambda e: e.by(e.sqrt(e.floored)),
        "gamma were left out": lambda e: e.xh + e.beta[:, None],
        "beta were left out": lambda e: e.xh * e.gamma[:, None],
        "beta were added before the scale": lambda e: (e.xh + e.beta[:, None]) * e.gamma[:, None],
        "the scale were 1 + gamma": lambda e: e.scale(e.xh) + e.xh,
        "the scale were the absolute value of gamma": lambda e: e.xh * abs(e.gamma)[:, None] + e.beta[:, None],
        "the running statistics normalised in training": lambda e: e.scale(
            (e.x - e.rm[:, None]) / e.sqrt(e.rv + e.eps)[:, None]
        ),
        "the mean were not taken off before squaring": lambda e: e.by(e.sqrt(e.second_moment + e.eps)),
    },
    "dx": {
        "gamma were left out": lambda e: e.dx(),
        "mean and variance were constants": lambda e: e.dx(mean=0.0, var=0.0) * e.gamma[:, None],
        "the mean were a constant": lambda e: e.dx(mean=0.0) * e.gamma[:, None],
        "the variance were a constant": lambda e: e.dx(var=0.0) * e.gamma[:, None],
        "eps were left out": lambda e: e.dx(rstd=1 / e.sqrt(e.v), xh=e.d / e.sqrt(e.v)[:, None]) * e.gamma[:, None],
        "the term of the variance had the other sign": lambda e: e.dx(var=-1.0) * e.gamma[:, None],
        "the term of the variance were halved": lambda e: e.dx(var=0.5) * e.gamma[:, None],
        "sums stood for means": lambda e: e.dx(mean=e.m, var=e.m) * e.gamma[:, None],
        "rstd were squared": lambda e: e.dx() * (e.gamma * e.r)[:, None],
        "the absolute value of gamma were taken": lambda e: e.dx() * abs(e.gamma)[:, None],
    },
    "dgamma": {
        "x stood for xhat": lambda e: (e.g * e.x).sum(axis=1),
        "the deviation, without rstd, stood for xhat": lambda e: (e.g * e.d).sum(axis=1),
        "y stood for xhat": lambda e: (e.g * e.scale(e.xh)).sum(axis=1),
        "it were a mean instead of a sum": lambda e: (e.g * e.xh).sum(axis=1) / e.m,
        "it were multiplied by gamma": lambda e: (e.g * e.xh).sum(axis=1) * e.gamma,
        "eps were left out": lambda e: (e.g * e.d).sum(axis=1) / e.sqrt(e.v),
    },
    "dbeta": {
        "it were a mean instead of a sum": lambda e: e.g.sum(axis=1) / e.m,
        "it were multiplied by gamma": lambda e: e.g.sum(axis=1) * e.gamma,
    },
}
"""By quantity: how the sentence that begins "it looks as if" goes on, and the formula that it stands for."""


def recognise(record: TrainingRecord, quantity: str) -> str | None:
    """What the observation of a quantity that is wrong looks like, or None.

    A mistake is named only where its answer agrees with the observed one within the bound and differs from the right
    one by more than ten bounds.
    """
    if record.expected.moments is None:
        return None  # the formulas are those of a training pass on the batch's own statistics
    exact = Exact(record)
    arithmetic = record.stage.terms.arithmetic
    seen = _observe(record, quantity)
    if seen is None:
        return None
    observed, right, bound = seen
    if observed.shape != bound.shape:
        return None
    with np.errstate(all="ignore"):
        for says, formula in MISTAKES[quantity].items():
            made = formula(exact)
            apart = compare(quantity, arithmetic.float64(made), right, bound, arithmetic)
            if apart.ratio is None or not apart.ratio > 10:
                continue
            if not compare(quantity, observed, made, 2 * bound, arithmetic).failed:
                return f"it looks as if {says}"
    return None


def _observe(record: TrainingRecord, quantity: str) -> tuple[Array, Number, Floats] | None:
    """What was observed of a quantity, its exact value and its bound; None where nothing was."""
    expected = record.expected
    if quantity == "y":
        return channel_major(record.played.y.get()), expected.forward.y, expected.e_y
    if quantity in ("running_mean", "running_var"):
        buffers, state = record.expected_buffers, record.played.after_forward.get()
        buffer = getattr(state, quantity)
        if buffer is None:
            return None
        pairs = {"running_mean": (buffers.mean, buffers.e_mean), "running_var": (buffers.var, buffers.e_var)}
        return buffer.reshape(-1), *pairs[quantity]
    gradients = record.played.gradients.get()
    exact, bound = record.expected_gradients
    name = {"dx": "x", "dgamma": "gamma", "dbeta": "beta"}[quantity]
    got = getattr(gradients, name)
    if got is None:
        return None
    return channel_major(got) if name == "x" else got.reshape(-1), getattr(exact, name), getattr(bound, name)
