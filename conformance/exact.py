"""The quantities of one training pass under the names of the specification, for the formulas of mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bnspec.cases.layouts import channel_major
from bnspec.spec.equations import stored_variance, weight_of_new_batch
from bnspec.spec.precision import Arithmetic, Number

from .experiments.training import TrainingRecord


@dataclass(frozen=True)
class Exact:
    """What formulas of mistakes are made of: exact quantities of one training pass, in the specification's notation."""

    record: TrainingRecord

    @property
    def arithmetic(self) -> Arithmetic:
        return self.record.stage.terms.arithmetic

    def number(self, value: object) -> Number:
        return self.arithmetic.array(np.asarray(value))

    def sqrt(self, value: Number) -> Number:
        return self.arithmetic.sqrt(value)

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
        return weight_of_new_batch(
            record.stage.terms.dialect, record.stage.case.momentum, record.start.batches or 0, self.arithmetic
        )

    @property
    def floored(self) -> Number:
        """The larger of variance and eps."""
        return self.number(np.maximum(self.arithmetic.float64(self.v), self.record.expected.eps))

    @property
    def second_moment(self) -> Number:
        return (self.x * self.x).sum(axis=1) / self.m

    @property
    def bessel_of_examples(self) -> float:
        """N/(N-1), from examples alone."""
        return self.examples / max(self.examples - 1, 1)

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
        inner = (
            self.g - self.g.sum(axis=1)[:, None] * mean / self.m - xh * ((self.g * xh).sum(axis=1) / k)[:, None] * var
        )
        return inner * rstd[:, None]
