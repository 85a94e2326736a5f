"""The equations of batch norm, one function a statement, in whatever arithmetic the arrays bring.

Arrays are channel-major: x and dy have shape (C, m), parameters and statistics (C,). Ioffe & Szegedy 2015, Algorithm 1,
with the conventions of a dialect. Nothing here knows a framework, a subject or a tolerance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnspec.spec.dialects import Dialect
from bnspec.spec.precision import Arithmetic, Number


@dataclass(frozen=True)
class Moments:
    """Mean and biased variance of each channel, over `count` values."""

    mean: Number
    var: Number
    count: int


@dataclass(frozen=True)
class Normalised:
    """A forward: `var` is the variance that normalised, rstd = 1/sqrt(var + eps), deviation = x - mean."""

    mean: Number
    var: Number
    rstd: Number
    deviation: Number
    xhat: Number
    y: Number


@dataclass(frozen=True)
class Cotangents:
    """Gradients by x (C, m), gamma and beta (C,)."""

    x: Number
    gamma: Number
    beta: Number


def take_moments(x: Number) -> Moments:
    """Mean and biased variance in two passes; the mean is corrected once by the mean of what is left."""
    count = x.shape[1]
    mean = x.sum(axis=1) / count
    mean = mean + (x - mean[:, None]).sum(axis=1) / count
    deviation = x - mean[:, None]
    return Moments(mean, (deviation * deviation).sum(axis=1) / count, count)


def divisor(dialect: Dialect, count: int) -> int:
    """K: what the sum of squared deviations is divided by where the batch is normalised."""
    return count if dialect.normalises_with == "biased" else count - 1


def normalise(
    x: Number, gamma: Number, beta: Number, mean: Number, var: Number, eps: Number, a: Arithmetic
) -> Normalised:
    """y = gamma (x - mean)/sqrt(var + eps) + beta (clauses F1 and E1)."""
    rstd = a.array(np.ones(())) / a.sqrt(var + eps)
    deviation = x - mean[:, None]
    xhat = deviation * rstd[:, None]
    return Normalised(mean, var, rstd, deviation, xhat, xhat * gamma[:, None] + beta[:, None])


def normalising_variance(moments: Moments, dialect: Dialect) -> Number:
    """v = s2 m/K."""
    return moments.var * moments.count / divisor(dialect, moments.count)


def stored_variance(moments: Moments, dialect: Dialect) -> Number:
    """s2 m/(m-1) where the dialect stores the unbiased variance, s2 where it stores the biased."""
    return moments.var * moments.count / (moments.count - 1) if dialect.stores == "unbiased" else moments.var


def weight_of_new_batch(dialect: Dialect, momentum: float | None, batches: int, a: Arithmetic) -> Number:
    """The weight a of the next batch after `batches` of them; momentum None is the cumulative average, 1/(batches + 1).

    A zero-debiased average hidden_k/(1 - rho**k) is a blend whose weight is (1 - rho)/(1 - rho**k).
    """
    one = a.array(np.ones(()))
    if momentum is None:
        return one / (batches + 1)
    if dialect.average == "first copied" and batches == 0:
        return one
    given = a.array(np.asarray(keep_constant(dialect, momentum)))
    weight = given if dialect.momentum_weighs == "new" else one - given
    if dialect.average == "debiased":
        old, decay = one - weight, one
        for _ in range(batches + 1):
            decay = decay * old
        weight = weight / (one - decay)
    return weight


def keep_constant(dialect: Dialect, value: float) -> float:
    """eps or momentum as the dialect keeps it: as given, or rounded to float32."""
    return float(np.float32(value)) if dialect.constants == "float32" else value


def blend(old: Number, new: Number, weight: Number) -> Number:
    """(1 - a) old + a new, as old + a (new - old) (clause R2)."""
    return old + (new - old) * weight


def differentiate_training(dy: Number, forward: Normalised, gamma: Number, k: int) -> Cotangents:
    """dx = gamma r (dy - dbeta/m - xhat dgamma/K) (clause G1)."""
    count = dy.shape[1]
    dbeta = dy.sum(axis=1)
    dgamma = (dy * forward.xhat).sum(axis=1)
    inner = dy - (dbeta / count)[:, None] - forward.xhat * (dgamma / k)[:, None]
    return Cotangents(inner * (gamma * forward.rstd)[:, None], dgamma, dbeta)


def differentiate_evaluation(dy: Number, forward: Normalised, gamma: Number) -> Cotangents:
    """dx = gamma r dy: mean and variance are constants (clause G2)."""
    return Cotangents(dy * (gamma * forward.rstd)[:, None], (dy * forward.xhat).sum(axis=1), dy.sum(axis=1))


def differentiate_updated(
    dy: Number, forward: Normalised, moments: Moments, gamma: Number, weight: Number, dialect: Dialect
) -> Cotangents:
    """Backward where training normalises with the updated running statistics, which hold a share `weight` of the batch.

    d mean/dx_j = a/m and d var/dx_j = 2 a b (x_j - mu)/m, with b = m/(m-1) where the unbiased variance is stored.
    """
    count = moments.count
    dbeta = dy.sum(axis=1)
    dgamma = (dy * forward.xhat).sum(axis=1)
    own = forward.deviation + (forward.mean - moments.mean)[:, None]
    stored = count - 1 if dialect.stores == "unbiased" else count
    by_var = own * (forward.rstd * weight * dgamma / stored)[:, None]
    inner = dy - (dbeta * weight / count)[:, None] - by_var
    return Cotangents(inner * (gamma * forward.rstd)[:, None], dgamma, dbeta)


def jacobian_training(forward: Normalised, gamma: Number, k: int) -> Number:
    """dy_i/dx_j = gamma r (1[i=j] - 1/m - xhat_i xhat_j/K), shape (C, m, m) (clause G4)."""
    count = forward.xhat.shape[1]
    coupled = forward.xhat[:, :, None] * forward.xhat[:, None, :] / k
    share = (coupled - coupled + 1.0) / count
    return (np.eye(count)[None] - share - coupled) * (gamma * forward.rstd)[:, None, None]


def jacobian_evaluation(forward: Normalised, gamma: Number) -> Number:
    """dy_i/dx_j = gamma r 1[i=j], shape (C, m, m): examples are not coupled (clause G4)."""
    return np.eye(forward.xhat.shape[1])[None] * (gamma * forward.rstd)[:, None, None]
