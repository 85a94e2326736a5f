"""What the values of a batch are like: one function a fill, each from a generator to a channel-major array.

The recipe is measured, not tasteful: variance near eps, offsets of a few deviations, parameters and buffers away from
their defaults, and an upstream gradient outside span{1, xhat} are what make wrong layers visible.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.spec.formats import FLOAT32, Format, Precision, arithmetic_of

Floats = NDArray[np.float64]
Random = np.random.RandomState


def standardise(z: Floats) -> Floats:
    """Centre each channel and scale it to deviation one, where it has one."""
    z = z - z.mean(axis=1, keepdims=True)
    deviation = z.std(axis=1, keepdims=True)
    return np.asarray(z / np.where(deviation > 0, deviation, 1.0))


def spread(random: Random, channels: int, count: int, eps: float, _: Format) -> Floats:
    """Deviations near sqrt(eps) in a third of the channels, 0.1 to 10 elsewhere.

    A third of the means is zero, a third up to 4 deviations, a third next to nothing and not zero.
    """
    near_eps = random.randint(0, 3, (channels, 1)) == 0
    near_eps[0] = True
    scale = np.where(near_eps, np.sqrt(eps), 1.0) * 10 ** random.uniform(-1, 1, (channels, 1))
    place, near = random.randint(0, 3, (channels, 1)), 10 ** random.uniform(-12, -2, (channels, 1))
    offset = np.select([place == 0, place == 1], [np.zeros((channels, 1)), random.uniform(-4, 4, (channels, 1))], near)
    return np.asarray((standardise(random.standard_normal((channels, count))) + offset) * scale)


def integers(random: Random, channels: int, count: int, _eps: float, _: Format) -> Floats:
    """Small whole numbers: sums are exact and a counter-example can be read."""
    return random.randint(-4, 5, (channels, count)).astype(np.float64)


def offset(random: Random, channels: int, count: int, _eps: float, storage: Format) -> Floats:
    """Means far from zero: kappa from 10 to a tenth of u**-1/2, where one-pass variances lose digits."""
    z = standardise(random.standard_normal((channels, count)))
    kappa = 10 ** random.uniform(1, np.log10(0.1 * storage.unit_roundoff**-0.5), (channels, 1))
    return np.asarray((z + kappa * random.choice([-1.0, 1.0], (channels, 1))) * 10 ** random.uniform(-1, 1))


def constant(random: Random, channels: int, count: int, eps: float, storage: Format) -> Floats:
    """Every other channel holds one value that is not dyadic, of size 1 to 10^4; the rest are spread."""
    x = spread(random, channels, count, eps, storage)
    held = x[::2].shape[0], 1
    x[::2] = 0.1 * random.uniform(-10, 10, held) * 10.0 ** random.randint(0, 5, held)
    return x


def late(random: Random, channels: int, count: int, _eps: float, _: Format) -> Floats:
    """Zeros, and ones in the last one to three places: all information sits in the tail, and every sum is exact."""
    x = np.zeros((channels, count))
    x[:, -int(random.randint(1, min(4, count))) :] = 1.0
    return x


def early(random: Random, channels: int, count: int, eps: float, storage: Format) -> Floats:
    """`late` backwards: the information sits in the head."""
    return late(random, channels, count, eps, storage)[:, ::-1]


def outlier(random: Random, channels: int, count: int, eps: float, storage: Format) -> Floats:
    """One value per channel 10 to 1000 deviations away: outputs that a clip would cut."""
    x = spread(random, channels, count, eps, storage)
    x[:, random.randint(count)] += x.std(axis=1) * 10 ** random.uniform(1, 3) + 1e-3
    return x


def tiny(random: Random, channels: int, count: int, eps: float, _: Format) -> Floats:
    """Deviations of a thousandth to a tenth of sqrt(eps): eps rules the result."""
    z = standardise(random.standard_normal((channels, count)))
    return np.asarray(z * np.sqrt(eps) * 10 ** random.uniform(-3, -1, (channels, 1)))


def scales(random: Random, channels: int, count: int, _eps: float, _: Format) -> Floats:
    """Each channel at a scale of its own, from 1e-6 to 1e6."""
    return np.asarray(random.standard_normal((channels, count)) * 10 ** random.uniform(-6, 6, (channels, 1)))


def steps(_random: Random, channels: int, count: int, _eps: float, _: Format) -> Floats:
    """Ones, and twos in the last quarter: a sum of them in half precision stops at 2^8 or 2^11."""
    x = np.ones((channels, count))
    x[:, -(count // 4) :] = 2.0
    return x


def vast(random: Random, channels: int, count: int, _eps: float, storage: Format) -> Floats:
    """Values whose squares, summed, come within a factor of a hundred of the largest number."""
    most = np.sqrt(arithmetic_of(storage).largest / (800 * count))
    return np.asarray(np.clip(standardise(random.standard_normal((channels, count))), -3, 3) / 3 * most)


FILLS: dict[str, Callable[[Random, int, int, float, Format], Floats]] = {
    "spread": spread,
    "integers": integers,
    "offset": offset,
    "constant": constant,
    "late": late,
    "early": early,
    "outlier": outlier,
    "tiny": tiny,
    "scales": scales,
    "steps": steps,
    "vast": vast,
}


def fit(x: Floats, precision: Precision) -> Floats:
    """Channels by powers of two smaller where a right layer of this precision could overflow on them.

    In low precision throughout, a layer may form m x^2 in it; with wider parameters x alone has to fit.
    """
    storage, count = precision.storage, x.shape[1]
    low = precision.parameters.precision < FLOAT32.precision
    most = np.sqrt(storage.largest / (10 * count)) if low else storage.largest / 4
    over = np.maximum(np.abs(x).max(axis=1, keepdims=True) / most, 1.0)
    return np.asarray(x / 2.0 ** np.ceil(np.log2(over)))


def fit_upstream(dy: Floats, precision: Precision) -> Floats:
    """dy, scaled by a power of two where its sum would come near the end of a narrow range."""
    over = np.abs(dy).sum(axis=1).max() * 64 / precision.storage.largest
    return dy if over <= 1 else np.asarray(dy / 2.0 ** np.ceil(np.log2(over)))


SCALES = {"tiny": 2.0**-30, "huge": 2.0**16}
"""By what the upstream gradients of these kinds are multiplied."""


def fill_upstream(random: Random, kind: str, x: Floats) -> Floats:
    """The upstream gradient, channel-major.

    `drawn` has a mean and a part along xhat so that both sums matter; `whole` holds multiples of 1/8, whose small
    combinations are exact; `last` is a one in the last place; `constant` is the gradient of a sum; `tiny` and `huge`
    are `drawn` at the scales of a loss that was averaged over much, or scaled up for half precision.
    """
    channels, count = x.shape
    if kind == "constant":
        return np.ones((channels, count))
    if kind == "last":
        dy = np.zeros((channels, count))
        dy[:, -1] = 1.0
        return dy
    z = standardise(x)
    dy = random.standard_normal((channels, count)) + random.uniform(-1, 1, (channels, 1))
    dy = dy + random.uniform(-1, 1, (channels, 1)) * z
    return np.asarray(np.round(dy * 8) / 8 if kind == "whole" else dy * SCALES.get(kind, 1.0))


@dataclass(frozen=True)
class Parameters:
    """Parameters and buffers of a layer, each (C,)."""

    gamma: Floats
    beta: Floats
    running_mean: Floats
    running_var: Floats


def fill_parameters(random: Random, x: Floats) -> Parameters:
    """gamma and beta of both signs, one gamma zero where there are three channels; buffers at the batch's own scale.

    One time in four gamma and beta are of sizes from 2^-10 to 2^10, else from 1/2 to 2.
    """
    channels = len(x)
    wide = random.randint(4) == 0

    def signed() -> Floats:
        return np.asarray(random.uniform(0.5, 2, channels) * random.choice([-1.0, 1.0], channels))

    gamma, beta = signed(), signed()
    if wide:
        gamma, beta = (each * 2.0 ** random.randint(-9, 10, channels) for each in (gamma, beta))
    order = random.permutation(channels)
    if channels > 1:
        gamma[order[0]] = -abs(gamma[order[0]])
    if channels > 2:
        gamma[order[1]] = 0.0
    deviation = x.std(axis=1)
    scale = np.where(deviation > 1e-6, deviation, 1.0)
    return Parameters(gamma, beta, signed() * scale, random.uniform(0.3, 3, channels) * scale**2)


def cast(values: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Round to a storage dtype; overflow in the making of a case would be a fault of the suite, so it may warn."""
    return np.asarray(values).astype(dtype)


PARAMETERS: dict[str, Callable[[Parameters], Parameters]] = {
    "drawn": lambda p: p,
    "trivial": lambda p: replace(p, gamma=np.ones_like(p.gamma), beta=np.zeros_like(p.beta)),
    "zero": lambda p: replace(p, gamma=np.zeros_like(p.gamma)),
    "dead": lambda p: replace(p, running_var=np.where(np.arange(len(p.running_var)) % 2, p.running_var, 0.0)),
    "new": lambda p: Parameters(*(np.full_like(p.gamma, value) for value in (1.0, 0.0, 0.0, 1.0))),
    "blank": lambda p: replace(p, running_mean=np.zeros_like(p.gamma), running_var=np.zeros_like(p.gamma)),
}
"""Kinds of parameters and buffers: drawn; gamma and beta as a new layer has them; gamma zero, as residual branches
begin; a running variance of 0 in every other channel, as dead units come to have; all as a new layer has it; and
buffers of zeros, by which some know a layer that has seen no batch."""
