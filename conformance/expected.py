"""The exact answer to one pass, and how far a right layer may be from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import State
from bnspec.spec.bounds import (
    GradientError,
    Magnitudes,
    Rounding,
    StatisticsError,
    bound_blend,
    bound_gradients,
    bound_moments,
    bound_output,
    bound_statistics,
    count_debiasing,
    exact_statistics,
)
from bnspec.spec.dialects import Dialect, is_frozen
from bnspec.spec.equations import (
    Cotangents,
    Moments,
    Normalised,
    blend,
    differentiate_evaluation,
    differentiate_training,
    divisor,
    keep_constant,
    normalise,
    normalising_variance,
    stored_variance,
    take_moments,
    weight_of_new_batch,
)
from bnspec.spec.precision import Arithmetic, Number

Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Terms:
    """By what a pass is judged: conventions, arithmetic of the exact values, formats of the subject, declared class."""

    dialect: Dialect
    arithmetic: Arithmetic
    rounding: Rounding
    algorithm: str


@dataclass(frozen=True)
class ExpectedPass:
    """Exact forward of one pass with its bounds, channel-major; `informative` (C,): rstd is claimed to a tenth."""

    terms: Terms
    x: Floats
    forward: Normalised
    e_y: Floats
    errors: StatisticsError
    magnitudes: Magnitudes
    gamma: Number
    eps: float
    k: int | None
    informative: NDArray[np.bool_]
    moments: Moments | None = None

    def differentiate(self, dy: Array) -> tuple[Cotangents, GradientError]:
        """Exact gradients for an upstream gradient (native shape), with their bounds."""
        return self.differentiate_flat(self.terms.arithmetic.array(channel_major(dy)))

    def differentiate_flat(self, exact_dy: Number) -> tuple[Cotangents, GradientError]:
        """The same for an exact upstream gradient (C, m)."""
        a = self.terms.arithmetic
        dy64 = a.float64(exact_dy)
        with np.errstate(all="ignore"):
            if self.k is None:
                exact = differentiate_evaluation(exact_dy, self.forward, self.gamma)
            else:
                exact = differentiate_training(exact_dy, self.forward, self.gamma, self.k)
            dx, dgamma, dbeta = (a.float64(each) for each in (exact.x, exact.gamma, exact.beta))
            e = bound_gradients(self.magnitudes, dy64, dx, dgamma, dbeta, self.errors, self.terms.rounding, self.k)
        return exact, e


@dataclass(frozen=True)
class ExpectedBuffers:
    """Exact running statistics after some batches, with the bounds accumulated on the way."""

    mean: Number
    var: Number
    e_mean: Floats
    e_var: Floats


def read_parameters(state: State, channels: int, a: Arithmetic) -> tuple[Number, Number]:
    """Exact gamma and beta, (C,); 1 and 0 where the layer has none."""
    gamma = np.ones(channels) if state.gamma is None else state.gamma.reshape(-1)
    beta = np.zeros(channels) if state.beta is None else state.beta.reshape(-1)
    return a.array(gamma), a.array(beta)


def assemble(
    terms: Terms, x: Array, forward: Normalised, gamma: Number, beta: Number, e: StatisticsError, eps: float,
    k: int | None, moments: Moments | None,
) -> ExpectedPass:  # fmt: skip
    """The pass of a forward whose statistics have the errors `e`; `k` is None where they are constants."""
    a = terms.arithmetic
    values = Magnitudes(
        x.astype(np.float64), *(a.float64(v) for v in (forward.mean, forward.rstd, forward.deviation, gamma, beta))
    )
    e_y = bound_output(values, a.float64(forward.y), e, terms.rounding)
    return ExpectedPass(terms, values.x, forward, e_y, e, values, gamma, eps, k, e.informative(values.rstd), moments)


def expect_training(terms: Terms, x: Array, state: State, eps: float) -> ExpectedPass:
    """The exact training forward of a batch x (N, C, ...) with the parameters of `state`; an evaluation if frozen."""
    if is_frozen(terms.dialect):
        return expect_evaluation(terms, x, state, eps)
    a, flat = terms.arithmetic, channel_major(x)
    eps = keep_constant(terms.dialect, eps)
    moments = take_moments(a.array(flat))
    var = normalising_variance(moments, terms.dialect)
    gamma, beta = read_parameters(state, len(flat), a)
    k = divisor(terms.dialect, moments.count)
    with np.errstate(all="ignore"):
        forward = normalise(a.array(flat), gamma, beta, moments.mean, var, a.array(np.asarray(eps)), a)
        mean, biased = a.float64(moments.mean), a.float64(moments.var)
        shift = None if state.running_mean is None else np.abs(state.running_mean.reshape(-1).astype(np.float64))
        e_mean, e_var = bound_moments(flat.astype(np.float64), mean, biased, terms.rounding, terms.algorithm, shift)
        e = bound_statistics(e_mean, e_var, a.float64(var), moments.count / k, eps, terms.rounding)
        return assemble(terms, flat, forward, gamma, beta, e, eps, k, moments)


def expect_evaluation(terms: Terms, x: Array, state: State, eps: float) -> ExpectedPass:
    """The exact evaluation of x (N, C, ...) with the parameters and buffers of `state`."""
    if state.running_mean is None or state.running_var is None:
        raise ValueError("an evaluation is expected of a state without running statistics")
    a, flat = terms.arithmetic, channel_major(x)
    eps = keep_constant(terms.dialect, eps)
    gamma, beta = read_parameters(state, len(flat), a)
    mean, var = a.array(state.running_mean.reshape(-1)), a.array(state.running_var.reshape(-1))
    with np.errstate(all="ignore"):
        forward = normalise(a.array(flat), gamma, beta, mean, var, a.array(np.asarray(eps)), a)
        e = exact_statistics(a.float64(var), eps, terms.rounding)
        return assemble(terms, flat, forward, gamma, beta, e, eps, None, None)


def expect_learned(terms: Terms, x: Array, state: State, learned: ExpectedBuffers, eps: float) -> ExpectedPass:
    """An evaluation of x (N, C, ...) by running statistics that the subject computed within the bounds of `learned`."""
    a, flat, r = terms.arithmetic, channel_major(x), terms.rounding
    eps = keep_constant(terms.dialect, eps)
    gamma, beta = read_parameters(state, len(flat), a)
    with np.errstate(all="ignore"):
        forward = normalise(a.array(flat), gamma, beta, learned.mean, learned.var, a.array(np.asarray(eps)), a)
        e = bound_statistics(learned.e_mean, learned.e_var, a.float64(learned.var), 1.0, eps, r)
        return assemble(terms, flat, forward, gamma, beta, e, eps, None, None)


def begin_buffers(terms: Terms, state: State) -> ExpectedBuffers:
    """The running statistics as they were loaded: exact."""
    if state.running_mean is None or state.running_var is None:
        raise ValueError("running statistics are expected of a state that has none")
    mean, var = state.running_mean.reshape(-1), state.running_var.reshape(-1)
    zero = np.zeros(len(mean))
    return ExpectedBuffers(terms.arithmetic.array(mean), terms.arithmetic.array(var), zero, zero)


def update_buffers(old: ExpectedBuffers, batch: ExpectedPass, momentum: float | None, batches: int) -> ExpectedBuffers:
    """R2: blend the batch into the running statistics, `batches` of which came before it; frozen ones stay."""
    terms, moments = batch.terms, batch.moments
    if is_frozen(terms.dialect):
        return old
    if moments is None:
        raise ValueError("an evaluation has no batch statistics to blend")
    a, r = terms.arithmetic, terms.rounding
    weight = weight_of_new_batch(terms.dialect, momentum, batches, a)
    debiasing = count_debiasing(terms.dialect, momentum, batches)
    var = stored_variance(moments, terms.dialect)
    result = blend(old.mean, moments.mean, weight), blend(old.var, var, weight)
    w = float(a.float64(weight))
    besides = moments.count / (moments.count - 1) if terms.dialect.stores == "unbiased" else 1.0
    with np.errstate(all="ignore"):
        f = a.float64
        e_mean = bound_blend(f(old.mean), f(moments.mean), f(result[0]), old.e_mean, batch.errors.mean, w, r, debiasing)
        e_new = besides * batch.errors.biased_var
        e_var = bound_blend(f(old.var), f(var), f(result[1]), old.e_var, e_new, w, r, debiasing)
    return ExpectedBuffers(*result, e_mean, e_var)
