"""Known mistakes, as formulas: what a wrong layer would have answered. A failure that matches one says so.

Each formula reads the exact quantities of one training pass and gives the array that the mistake makes of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bnspec.cases.layouts import channel_major
from bnspec.spec.equations import blend, stored_variance, weight_of_new_batch
from bnspec.spec.precision import Number

from .compare import compare
from .experiments.training import TrainingRecord


@dataclass(frozen=True)
class Exact:
    """What formulas of mistakes are made of: exact quantities of one training pass, in the specification's notation."""

    record: TrainingRecord

    @property
    def _a(self):  # type: ignore[no-untyped-def]  # an Arithmetic
        return self.record.stage.terms.arithmetic

    def number(self, value: object) -> Number:
        return self._a.array(np.asarray(value))

    def sqrt(self, value: Number) -> Number:
        return self._a.sqrt(value)

    @cached_property
    def x(self) -> Number:
        return self.number(self.record.expected.x)

    @cached_property
    def g(self) -> Number:
        return self.number(channel_major(self.record.batch.dy))

    @property
    def m(self) -> int:
        return self.record.stage.case.count

    @property
    def examples(self) -> int:
        return self.record.stage.case.shape[0]

    @property
    def eps(self) -> Number:
        return self.number(self.record.expected.eps)

    @property
    def mu(self) -> Number:
        return self.record.expected.forward.mean

    @property
    def v(self) -> Number:
        return self.record.expected.forward.var

    @property
    def s2(self) -> Number:
        moments = self.record.expected.moments
        assert moments is not None
        return moments.var

    @property
    def stored(self) -> Number:
        moments = self.record.expected.moments
        assert moments is not None
        return stored_variance(moments, self.record.stage.terms.dialect)

    @property
    def r(self) -> Number:
        return self.record.expected.forward.rstd

    @property
    def d(self) -> Number:
        return self.record.expected.forward.deviation

    @property
    def xh(self) -> Number:
        return self.record.expected.forward.xhat

    @cached_property
    def gamma(self) -> Number:
        return self.record.expected.gamma

    @cached_property
    def beta(self) -> Number:
        return self.number(self.record.expected.magnitudes.beta)

    @cached_property
    def rm(self) -> Number:
        return self.number(self._flat("running_mean"))

    @cached_property
    def rv(self) -> Number:
        return self.number(self._flat("running_var"))

    def _flat(self, name: str) -> object:
        return getattr(self.record.start, name).reshape(-1)

    @cached_property
    def a(self) -> Number:
        record = self.record
        return weight_of_new_batch(record.stage.terms.dialect, record.stage.case.momentum, record.start.batches or 0, self._a)

    def scale(self, xh: Number) -> Number:
        """gamma xh + beta."""
        return xh * self.gamma[:, None] + self.beta[:, None]

    def by(self, variance_root: Number) -> Number:
        """y where the deviation is divided by `variance_root`."""
        return self.scale(self.d / variance_root[:, None])

    def dx(self, *, mean: float = 1.0, var: float = 1.0, rstd: Number = None, xh: Number = None) -> Number:
        """dx without gamma, with the paths through mean and variance weighted, or with another rstd or xhat."""
        rstd, xh = self.r if rstd is None else rstd, self.xh if xh is None else xh
        k = self.record.expected.k or self.m
        inner = self.g - self.g.sum(axis=1)[:, None] * (mean / 1) / self.m - xh * ((self.g * xh).sum(axis=1) / k)[:, None] * var
        return inner * rstd[:, None]


@dataclass(frozen=True)
class Mistake:
    """`says` completes the sentence "it looks as if ..."."""

    quantity: str
    says: str
    formula: Callable[[Exact], Number]


MISTAKES: tuple[Mistake, ...] = (
    Mistake("running_var", "the biased variance were stored: it is the wanted one times (m-1)/m", lambda e: blend(e.rv, e.s2, e.a)),
    Mistake("running_var", "the unbiased variance were stored", lambda e: blend(e.rv, e.s2 * e.m / (e.m - 1), e.a)),
    Mistake(
        "running_var", "N/(N-1), of examples alone, stood for m/(m-1)",
        lambda e: blend(e.rv, e.s2 * e.examples / max(e.examples - 1, 1), e.a),
    ),
    Mistake("running_var", "eps had leaked into the stored variance", lambda e: blend(e.rv, e.stored + e.eps, e.a)),
    Mistake("running_var", "the standard deviation were stored", lambda e: blend(e.rv, e.sqrt(e.stored), e.a)),
    Mistake("running_var", "1/sqrt(variance + eps) were stored", lambda e: blend(e.rv, e.r, e.a)),
    Mistake("running_var", "the root of the sum of variance and eps were stored", lambda e: blend(e.rv, e.sqrt(e.stored + e.eps), e.a)),
    Mistake("running_var", "momentum weighed the other statistic", lambda e: blend(e.stored, e.rv, e.a)),
    Mistake("running_var", "it were never updated", lambda e: e.rv),
    Mistake("running_var", "it were updated twice", lambda e: blend(blend(e.rv, e.stored, e.a), e.stored, e.a)),
    Mistake("running_var", "the batch replaced it, whatever momentum is", lambda e: e.stored),
    Mistake("running_var", "momentum were 0.1, whatever was given", lambda e: blend(e.rv, e.stored, e.number(0.1))),
    Mistake("running_var", "the old value did not decay", lambda e: e.rv + e.stored * e.a),
    Mistake("running_mean", "momentum weighed the other statistic", lambda e: blend(e.mu, e.rm, e.a)),
    Mistake("running_mean", "it were never updated", lambda e: e.rm),
    Mistake("running_mean", "it were updated twice", lambda e: blend(blend(e.rm, e.mu, e.a), e.mu, e.a)),
    Mistake("running_mean", "the batch replaced it, whatever momentum is", lambda e: e.mu),
    Mistake("running_mean", "momentum were 0.1, whatever was given", lambda e: blend(e.rm, e.mu, e.number(0.1))),
    Mistake("running_mean", "the old value did not decay", lambda e: e.rm + e.mu * e.a),
    Mistake("y", "the unbiased variance normalised", lambda e: e.by(e.sqrt(e.s2 * e.m / (e.m - 1) + e.eps))),
    Mistake("y", "the biased variance normalised", lambda e: e.by(e.sqrt(e.s2 + e.eps))),
    Mistake("y", "eps were added outside the root", lambda e: e.by(e.sqrt(e.v) + e.eps)),
    Mistake("y", "eps were left out", lambda e: e.by(e.sqrt(e.v))),
    Mistake("y", "eps were added twice", lambda e: e.by(e.sqrt(e.v + e.eps * 2))),
    Mistake("y", "eps were squared", lambda e: e.by(e.sqrt(e.v + e.eps * e.eps))),
    Mistake("y", "eps were 1e-5, whatever was given", lambda e: e.by(e.sqrt(e.v + 1e-5))),
    Mistake("y", "the root were forgotten", lambda e: e.by(e.v + e.eps)),
    Mistake("y", "the larger of variance and eps stood for their sum", lambda e: e.by(
        e.sqrt(e.number(np.maximum(e._a.float64(e.v), e.record.expected.eps))))),
    Mistake("y", "gamma were left out", lambda e: e.xh + e.beta[:, None]),
    Mistake("y", "beta were left out", lambda e: e.xh * e.gamma[:, None]),
    Mistake("y", "beta were added before the scale", lambda e: (e.xh + e.beta[:, None]) * e.gamma[:, None]),
    Mistake("y", "the scale were 1 + gamma", lambda e: e.scale(e.xh) + e.xh),
    Mistake("y", "the scale were the absolute value of gamma", lambda e: e.xh * abs(e.gamma)[:, None] + e.beta[:, None]),
    Mistake("y", "the running statistics normalised in training", lambda e: e.scale(
        (e.x - e.rm[:, None]) / e.sqrt(e.rv + e.eps)[:, None])),
    Mistake("y", "the mean were not taken off before squaring", lambda e: e.by(e.sqrt((e.x * e.x).sum(axis=1) / e.m + e.eps))),
    Mistake("dx", "gamma were left out", lambda e: e.dx()),
    Mistake("dx", "mean and variance were constants", lambda e: e.dx(mean=0.0, var=0.0) * e.gamma[:, None]),
    Mistake("dx", "the mean were a constant", lambda e: e.dx(mean=0.0) * e.gamma[:, None]),
    Mistake("dx", "the variance were a constant", lambda e: e.dx(var=0.0) * e.gamma[:, None]),
    Mistake("dx", "eps were left out", lambda e: e.dx(rstd=1 / e.sqrt(e.v), xh=e.d / e.sqrt(e.v)[:, None]) * e.gamma[:, None]),
    Mistake("dx", "the term of the variance had the other sign", lambda e: e.dx(var=-1.0) * e.gamma[:, None]),
    Mistake("dx", "the term of the variance were halved", lambda e: e.dx(var=0.5) * e.gamma[:, None]),
    Mistake("dx", "sums stood for means", lambda e: e.dx(mean=e.m, var=e.m) * e.gamma[:, None]),
    Mistake("dx", "rstd were squared", lambda e: e.dx() * (e.gamma * e.r)[:, None]),
    Mistake("dx", "the absolute value of gamma were taken", lambda e: e.dx() * abs(e.gamma)[:, None]),
    Mistake("dgamma", "x stood for xhat", lambda e: (e.g * e.x).sum(axis=1)),
    Mistake("dgamma", "the deviation, without rstd, stood for xhat", lambda e: (e.g * e.d).sum(axis=1)),
    Mistake("dgamma", "y stood for xhat", lambda e: (e.g * e.scale(e.xh)).sum(axis=1)),
    Mistake("dgamma", "it were a mean instead of a sum", lambda e: (e.g * e.xh).sum(axis=1) / e.m),
    Mistake("dgamma", "it were multiplied by gamma", lambda e: (e.g * e.xh).sum(axis=1) * e.gamma),
    Mistake("dgamma", "eps were left out", lambda e: (e.g * e.d).sum(axis=1) / e.sqrt(e.v)),
    Mistake("dbeta", "it were a mean instead of a sum", lambda e: e.g.sum(axis=1) / e.m),
    Mistake("dbeta", "it were multiplied by gamma", lambda e: e.g.sum(axis=1) * e.gamma),
)  # fmt: skip


def recognise(record: TrainingRecord, quantity: str) -> str | None:
    """What the observation of a quantity that is wrong looks like, or None.

    A mistake is named only where its answer agrees with the observed one within the bound and differs from the right
    one by more than ten bounds.
    """
    exact = Exact(record)
    arithmetic = record.stage.terms.arithmetic
    seen = _observe(record, quantity)
    if seen is None:
        return None
    observed, right, bound = seen
    with np.errstate(all="ignore"):
        for mistake in MISTAKES:
            if mistake.quantity != quantity:
                continue
            made = mistake.formula(exact)
            apart = compare(quantity, arithmetic.float64(made), right, bound, arithmetic)
            if apart.ratio is None or not apart.ratio > 10 or np.shape(observed) != np.shape(bound):
                continue
            if not compare(quantity, observed, made, 2 * bound, arithmetic).failed:
                return f"it looks as if {mistake.says}"
    return None


def _observe(record: TrainingRecord, quantity: str) -> tuple[object, Number, object] | None:  # type: ignore[type-arg]
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
