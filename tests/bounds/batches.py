"""Batches that are hard on rounding, and batches on which structure shows. Channel-major: x and dy are (C, m)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.layers.protocol import State

Array = NDArray[Any]
Draw = np.random.Generator


@dataclass(frozen=True)
class Batch:
    """x and dy (C, m) which are N, H, W = `shape` flattened, the state before the pass, eps."""

    x: Array
    dy: Array
    state: State
    eps: float
    shape: tuple[int, int, int]

    def native(self, values: Array) -> Array:
        return np.moveaxis(values.reshape(len(values), *self.shape), 0, 1)

    def flat(self, values: Array) -> Array:
        return np.moveaxis(values, 1, 0).reshape(values.shape[1], -1)


def running(b: Batch) -> tuple[Array, Array]:
    """Running mean and variance (C,) before the pass."""
    assert b.state.running_mean is not None
    assert b.state.running_var is not None
    return b.state.running_mean, b.state.running_var


@dataclass(frozen=True)
class Setting:
    """What a kind of channels may read beside its normal numbers z: eps, the spacing at one, the generator."""

    eps: float
    ulp: float
    draw: Draw

    def powers(self, low: float, high: float, channels: int) -> Array:
        """A power of ten a channel."""
        return np.asarray(10 ** self.draw.uniform(low, high, channels))


Kind = Callable[[Array, Setting], Array]
"""From normal numbers (C, m) to channels of one kind."""


def put_outlier(z: Array, s: Setting) -> Array:
    size = s.powers(1, 6, len(z))
    z[np.arange(len(z)), s.draw.integers(z.shape[1], size=len(z))] = size
    return z


def put_first_out(z: Array, s: Setting) -> Array:
    z[:, 0] = s.powers(1, 6, len(z))
    return z


def alternate(z: Array, s: Setting) -> Array:
    return np.asarray(np.abs(z) * (-1.0) ** np.arange(z.shape[1]) + s.draw.normal(size=(len(z), 1)))


def count_up(z: Array, s: Setting) -> Array:
    return s.draw.integers(-3, 4, z.shape) + s.draw.integers(0, 1000, (len(z), 1)).astype(np.float64)


KINDS: dict[str, Kind] = {
    "normal": lambda z, _: z,
    "offset": lambda z, s: z + s.powers(0, 6, len(z))[:, None],
    "constant": lambda z, s: np.broadcast_to(s.draw.normal(size=(len(z), 1)), z.shape),
    "zeros": lambda z, _: np.zeros_like(z),
    "outlier": put_outlier,
    "first out": put_first_out,
    "alternating": alternate,
    "sorted": lambda z, s: np.sort(z + s.draw.uniform(0, 5, (len(z), 1)), axis=1),
    "geometric": lambda z, _: np.broadcast_to(np.geomspace(1e-8, 1, z.shape[1]), z.shape),
    "integers": count_up,
    "one ulp": lambda z, s: 1 + s.ulp * s.draw.integers(0, 2, z.shape),
    "of eps": lambda z, s: z * np.sqrt(s.eps),
    "bimodal": lambda z, s: s.draw.choice([-1.0, 1.0], z.shape) * 100 + z * 1e-3,
}
DRAWN = (
    "normal", "offset", "offset", "constant", "zeros", "outlier", "first out", "alternating", "sorted", "geometric",
    "integers", "one ulp", "of eps", "bimodal",
)  # fmt: skip


def shape_gradient(kind: int, x: Array, draw: Draw) -> Array:
    z = draw.normal(size=x.shape)
    one_hot = np.zeros_like(z)
    one_hot[draw.integers(len(x))] = 1.0
    like_x = (x - x.mean()) / (x.std() or 1.0)
    return (z, np.ones_like(z), z + 100.0, like_x, one_hot, np.abs(z))[kind]


def adversarial(seed: int, dtype: str, channels: int = 6) -> Batch:
    draw = np.random.default_rng([seed, len(dtype), int(dtype[-2:])])
    shape = int(draw.integers(2, 12)), int(draw.integers(1, 4)), int(draw.integers(1, 4))
    m = int(np.prod(shape))
    eps = float(draw.choice([0.0, 1e-12, 1e-8, 1e-5, 1e-3, 0.1, 1.0]))
    widest = 12 if dtype == "float32" else 30
    setting = Setting(eps, float(np.finfo(dtype).eps), draw)
    x, dy = np.empty((channels, m)), np.empty((channels, m))
    for c in range(channels):
        kind = str(draw.choice(DRAWN))
        values = KINDS[kind](draw.normal(size=(1, m)), setting)[0]
        x[c] = values * 10 ** (draw.uniform(-25, widest) if draw.random() < 0.3 else 0.0)
        dy[c] = shape_gradient(int(draw.integers(6)), x[c], draw)
    gamma = draw.choice([0.0, 1.0, -1.0, 1e2, 1e-2, 0.7], channels)
    near, spread = x.mean(axis=1), np.maximum(x.std(axis=1), 1e-20)
    running_mean = np.where(draw.random(channels) < 0.5, near, draw.normal(size=channels) * (np.abs(near) + spread))
    running_var = spread**2 * 10 ** draw.uniform(-2, 2, channels)
    beta = draw.normal(size=channels)
    state = State(gamma.astype(dtype), beta.astype(dtype), running_mean.astype(dtype), running_var.astype(dtype))
    return Batch(x.astype(dtype), dy.astype(dtype), state, eps, shape)


def structural(seed: int, dtype: str, channels: int = 3) -> Batch:
    """Inputs on which structure shows: variance near eps, small offsets, no parameter at its initial value."""
    draw = np.random.default_rng([seed, 7])
    shape = int(draw.integers(2, 9)), int(draw.integers(1, 3)), int(draw.integers(1, 3))
    m, eps = int(np.prod(shape)), float(draw.choice([1e-5, 1e-3, 1e-2, 0.1]))
    z = draw.normal(size=(channels, m))
    z = (z - z.mean(axis=1, keepdims=True)) / z.std(axis=1, keepdims=True)
    sd = np.sqrt(eps) * 10 ** draw.uniform(-0.5, 0.5, (channels, 1))
    x = sd * (z + draw.uniform(-4, 4, (channels, 1)))
    dy = draw.normal(size=x.shape) + draw.uniform(0.3, 1, (channels, 1)) * (1 + z)
    sign, flat = draw.choice([-1.0, 1.0], (2, channels)), sd[:, 0]
    values = (
        sign[0] * draw.uniform(0.5, 2, channels), sign[1] * draw.uniform(0.5, 2, channels),
        flat * draw.uniform(-2, 2, channels), flat**2 * draw.uniform(0.3, 3, channels),
    )  # fmt: skip
    return Batch(x.astype(dtype), dy.astype(dtype), State(*(v.astype(dtype) for v in values)), eps, shape)
