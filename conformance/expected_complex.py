"""The exact answer to a batch of complex numbers, where a layer takes any: the variance is the mean of |x - mu|^2."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import State
from bnspec.spec.bounds import bound_moments, bound_statistics, exact_statistics
from bnspec.spec.dialects import is_frozen
from bnspec.spec.equations import divisor, keep_constant, normalise, take_moments
from bnspec.spec.precision import Number

from .expected import Array, ExpectedPass, Terms, assemble, read_parameters


@dataclass(frozen=True)
class _Statistics:
    """By which the parts are normalised: the mean of each, the variance of both, and what they may be off by."""

    means: tuple[Number, Number]
    var: Number
    e_means: tuple[Array, Array]
    e_var: Array
    besides: float


def expect_complex(terms: Terms, x: Array, state: State, eps: float, *, training: bool) -> tuple[ExpectedPass, ...]:
    """The passes of the real and of the imaginary parts of x (N, C, ...), both divided by one deviation.

    Scale and shift are real, so that the shift is in the real part alone.
    """
    a, eps = terms.arithmetic, keep_constant(terms.dialect, eps)
    parts = [channel_major(part) for part in (x.real, x.imag)]
    gamma, beta = read_parameters(state, len(parts[0]), a)
    with np.errstate(all="ignore"):
        found = (
            _of_buffers(terms, state) if is_frozen(terms.dialect) or not training else _of_batch(terms, parts, state)
        )
        var = a.float64(found.var)
        passes = []
        for part, mean, e_mean, shift in zip(parts, found.means, found.e_means, (beta, beta - beta), strict=True):
            forward = normalise(a.array(part), gamma, shift, mean, found.var, a.array(np.asarray(eps)), a)
            if training and not is_frozen(terms.dialect):
                e = bound_statistics(e_mean, found.e_var, var, found.besides, eps, terms.rounding)
            else:
                e = exact_statistics(var, eps, terms.rounding)
            passes.append(assemble(terms, part, forward, gamma, shift, e, eps, None, None))
    return tuple(passes)


def _of_buffers(terms: Terms, state: State) -> _Statistics:
    """Running statistics are real."""
    if state.running_mean is None or state.running_var is None:
        raise ValueError("an evaluation is expected of a state without running statistics")
    mean, var = (terms.arithmetic.array(b.reshape(-1)) for b in (state.running_mean, state.running_var))
    zero = np.zeros(len(state.running_mean.reshape(-1)))
    return _Statistics((mean, mean - mean), var, (zero, zero), zero, 1.0)


def _of_batch(terms: Terms, parts: list[Array], state: State) -> _Statistics:
    """A square meets at most four roundings more than one of real numbers: two products, a sum, a root that is squared
    again. So m + 9 <= 2 (m + 5) are within twice what is allowed to the squares of the parts."""
    a, shift = terms.arithmetic, None
    if state.running_mean is not None:
        shift = np.abs(state.running_mean.reshape(-1).astype(np.float64))
    real, imaginary = (take_moments(a.array(part)) for part in parts)
    errors = [
        bound_moments(
            part.astype(np.float64), a.float64(m.mean), a.float64(m.var), terms.rounding, terms.algorithm, shift
        )
        for part, m in zip(parts, (real, imaginary), strict=True)
    ]
    count = real.count
    besides = count / divisor(terms.dialect, count)
    var = (real.var + imaginary.var) * count / divisor(terms.dialect, count)
    e_var = 2 * (errors[0][1] + errors[1][1])
    return _Statistics((real.mean, imaginary.mean), var, (errors[0][0], errors[1][0]), e_var, besides)
