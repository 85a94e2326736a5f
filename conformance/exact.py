"""The quantities of one observed pass under the names of the specification, for the formulas of mistakes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from bnspec.cases.batches import Batch
from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import State, as_dtype
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents, Moments, stored_variance, take_moments, weight_of_new_batch
from bnspec.spec.precision import Arithmetic, Number

from .acting import Played, Stage
from .expected import ExpectedBuffers, ExpectedPass


class ObservedPass(Protocol):
    """One pass, in training or evaluation, from a known state, beside what is exact."""

    @property
    def stage(self) -> Stage: ...
    @property
    def batch(self) -> Batch: ...
    @property
    def start(self) -> State: ...
    @property
    def played(self) -> Played: ...
    @property
    def expected(self) -> ExpectedPass: ...
    @property
    def expected_gradients(self) -> tuple[Cotangents, GradientError]: ...
    @property
    def expected_buffers(self) -> ExpectedBuffers: ...


class NoStatistics(Exception):
    """A layer without running statistics has none to compute with."""


@dataclass(frozen=True)
class Exact:
    """What formulas of mistakes are made of: exact quantities of one pass, in the specification's notation.

    `v`, `d`, `xh` and `r` are of the statistics that must normalise, `mu`, `s2` and `stored` of the batch.
    """

    record: ObservedPass

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

    @cached_property
    def moments(self) -> Moments:
        """Mean and biased variance of the batch, whatever must normalise it."""
        return take_moments(self.x)

    @property
    def mu(self) -> Number:
        return self.moments.mean

    @property
    def v(self) -> Number:
        return self.record.expected.forward.var

    @property
    def s2(self) -> Number:
        return self.moments.var

    @property
    def stored(self) -> Number:
        return stored_variance(self.moments, self.record.stage.terms.dialect)

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
        """Raises NoStatistics."""
        buffer = getattr(self.record.start, name)
        if buffer is None:
            raise NoStatistics(name)
        return buffer.reshape(-1)

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
    def about_running_mean(self) -> Number:
        """The mean square of the deviation from the running mean."""
        off = self.mu - self.rm
        return self.s2 + off * off

    def rounded(self, value: Number, name: str) -> Number:
        """A value rounded to a format."""
        return self.number(np.asarray(self.arithmetic.float64(value)).astype(as_dtype(name)).astype(np.float64))

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

    def by_batch(self) -> Number:
        """y where the statistics of the batch normalise."""
        return self.scale((self.x - self.mu[:, None]) / self.sqrt(self.s2 + self.eps)[:, None])

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

    def dx_by_batch(self) -> Number:
        """dx of a training pass, whatever the pass was."""
        r = 1 / self.sqrt(self.s2 + self.eps)
        xh = (self.x - self.mu[:, None]) * r[:, None]
        return self.dx(rstd=r, xh=xh) * self.gamma[:, None]

    def by_all_channels(self) -> Number:
        """y where all channels share mean and variance, as in layer norm over the batch."""
        mean = self.mu.sum() / len(self.mu)
        var = ((self.x - mean) ** 2).sum() / self.x.size
        return self.scale((self.x - mean) / self.sqrt(self.number(var) + self.eps))

    def by_examples(self) -> Number:
        """y where each example has its own mean and variance, as in instance norm."""
        x = self.x.reshape(len(self.x), self.examples, -1)
        length = x.shape[-1]
        d = x - (x.sum(axis=2) / length)[:, :, None]
        root = self.sqrt((d * d).sum(axis=2) / length + self.eps)
        return self.scale((d / root[:, :, None]).reshape(self.x.shape))
