"""Batches of some hundred channels for every precision, each channel of a kind of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.fills import cast
from bnspec.layers.protocol import State, as_dtype
from bnspec.spec.bounds import rounding_for
from bnspec.spec.formats import PRECISIONS, Precision
from tests.bounds.batches import KINDS, Batch, Draw, Kind, Setting

Array = NDArray[Any]
EPS = (0.0, 1e-12, 1e-8, 1e-5, 1e-5, 1e-3, 0.1, 1.0)
MOMENTA = (0.0, 0.001, 0.01, 0.1, 0.1, 1 / 3, 0.5, 0.9, 0.999, 1.0)
PERIOD = 27
"""After so many turns the conventions of `draw_channels` come again."""
LENGTHS = ((0.10, 2, 2), (0.35, 3, 12), (0.40, 13, 99), (0.12, 100, 500), (0.03, 501, 2000))
"""A share of the batches holds so many values a channel, from and to."""


def _column(s: Setting, low: float, high: float, z: Array) -> Array:
    return np.asarray(s.draw.uniform(low, high, (len(z), 1)))


def _mix(z: Array, s: Setting) -> Array:
    """The first values, or some, of another size and place than the rest."""
    first = np.arange(z.shape[1]) < _column(s, 0, z.shape[1], z)
    other = z * 10 ** _column(s, -6, 6, z) + 10 ** _column(s, -3, 6, z)
    return np.where(np.where(s.draw.random((len(z), 1)) < 0.5, first, s.draw.random(z.shape) < 0.5), other, z)


def _repeat(z: Array, s: Setting) -> Array:
    """A pattern of few values, over and over."""
    period = int(s.draw.integers(1, 5))
    return np.asarray(np.resize(z.T[:period], z.T.shape).T + 10 ** _column(s, -2, 4, z))


MORE_KINDS: dict[str, Kind] = {
    "equal": lambda z, s: np.broadcast_to(10 ** _column(s, -3, 3, z), z.shape),
    "equal but one": lambda z, s: 10 ** _column(s, -3, 3, z) * (1 + (np.arange(z.shape[1]) == 0) * s.ulp),
    "far offset": lambda z, s: z + s.draw.uniform(0.01, 4, (len(z), 1)) / s.ulp,
    "few ulp": lambda z, s: 10 ** _column(s, -3, 3, z) * (1 + s.ulp * s.draw.integers(0, 9, z.shape)),
    "mixture": _mix,
    "repeated": _repeat,
    "falling": lambda z, s: -np.sort(-z - 10 ** _column(s, -2, 3, z), axis=1),
    "growing": lambda z, s: np.sign(z) * np.geomspace(1e-6, 1, z.shape[1]) ** _column(s, 0.1, 2, z),
    "ramp": lambda z, s: np.arange(z.shape[1]) + np.round(10 ** _column(s, 0, 4, z)),
    "powers": lambda z, s: np.sign(z) * 2.0 ** s.draw.integers(-12, 12, z.shape),
    "cancelling": lambda z, s: np.where(np.arange(z.shape[1]) % 2, -1, 1) * 10 ** _column(s, 0, 5, z) + z * 1e-3,
    "two values": lambda z, s: np.where(s.draw.random(z.shape) < 0.5, 1.0, 1.0 + 10 ** _column(s, -6, 1, z)),
    "walk": lambda z, s: np.cumsum(z, axis=1) + 10 ** _column(s, -2, 3, z),
    "square root": lambda z, s: np.sqrt(1 + np.arange(z.shape[1])) * np.sign(_column(s, -1, 1, z)),
}
ALL_KINDS: dict[str, Kind] = KINDS | MORE_KINDS
"""Beside the kinds, channels are put near the end of their domain or among the subnormal numbers (`_place`)."""


@dataclass(frozen=True)
class Upstream:
    """What a kind of upstream gradients may read: normal numbers and the channels (C, m), the generator."""

    z: Array
    x: Array
    draw: Draw

    @property
    def places(self) -> Array:
        return np.arange(self.z.shape[1])


UPSTREAMS: dict[str, Callable[[Upstream], Array]] = {
    "normal": lambda u: u.z,
    "ones": lambda u: np.ones_like(u.z),
    "offset": lambda u: u.z + 100.0,
    "like x": lambda u: (u.x - u.x.mean(1, keepdims=True)) / np.maximum(u.x.std(1, keepdims=True), 1e-300),
    "against x": lambda u: 1.0 + np.sign(u.x - np.median(u.x, axis=1, keepdims=True)) + u.z * 1e-3,
    "one": lambda u: (u.places == u.draw.integers(u.z.shape[1], size=(len(u.z), 1))).astype(np.float64),
    "positive": lambda u: np.abs(u.z),
    "equal": lambda u: np.broadcast_to(u.draw.normal(size=(len(u.z), 1)), u.z.shape),
    "alternating": lambda u: (-1.0) ** u.places + u.z * 1e-3,
    "wide": lambda u: u.z * 10 ** u.draw.uniform(-4, 4, u.z.shape),
}


@dataclass(frozen=True)
class Channels:
    """A batch with what it is judged by: the conventions of its layer, and the kind of each channel."""

    batch: Batch
    momentum: float
    normalises_with: str
    stores: str
    weighs: str
    turn: int
    kinds: tuple[str, ...]

    @property
    def conventions(self) -> dict[str, str]:
        return {"normalises_with": self.normalises_with, "stores": self.stores, "momentum_weighs": self.weighs}

    @property
    def is_as_in_torch(self) -> bool:
        return (self.normalises_with, self.stores, self.weighs) == ("biased", "unbiased", "new")


def _draw_length(draw: Draw, longest: int) -> tuple[int, int, int]:
    """N, H, W."""
    _, low, high = LENGTHS[int(draw.choice(len(LENGTHS), p=[share for share, *_ in LENGTHS]))]
    m = int(draw.integers(min(low, longest), min(high, longest) + 1))
    divisors = [d for d in (1, 2, 3) if m % d == 0]
    h = int(draw.choice(divisors))
    w = int(draw.choice([d for d in divisors if m // h % d == 0]))
    return m // h // w, h, w


def fit(x: Array, precision: Precision) -> Array:
    """Channels by powers of two smaller where a sum of their squares may overflow: nothing is claimed there."""
    over = np.abs(x).max(axis=1, keepdims=True) / find_top(precision, x.shape[1])
    return np.asarray(x / 2.0 ** np.ceil(np.log2(np.maximum(over, 1.0))))


def fit_upstream(dy: Array, precision: Precision) -> Array:
    """The same where a sum of the gradients may overflow."""
    over = np.abs(dy).sum(axis=1, keepdims=True) * 64 / precision.storage.largest
    return np.asarray(dy / 2.0 ** np.ceil(np.log2(np.maximum(over, 1.0))))


def find_top(precision: Precision, m: int) -> float:
    """The end of the domain of x."""
    forward = rounding_for(precision.storage, precision.parameters).forward
    return min(precision.storage.largest / 4, float(np.sqrt(forward.largest / 8 / m)))


def _place(x: Array, precision: Precision, draw: Draw) -> Array:
    """Some channels at another scale, near the end of the domain, or subnormal."""
    channels, m = x.shape
    top = find_top(precision, m)
    # One underflow of r^3 and the like would be all that is seen further down.
    low, high = max(-25.0, float(np.log10(precision.storage.smallest_normal)) + 2), min(np.log10(top), 30.0)
    lot, size = draw.random((channels, 1)), np.maximum(np.abs(x).max(axis=1, keepdims=True), 1e-300)
    x = np.where(lot < 0.25, x * 10 ** draw.uniform(low, high, (channels, 1)), x)
    x = np.where((lot > 0.25) & (lot < 0.28), x / size * top * draw.uniform(0.3, 0.999, (channels, 1)), x)
    steps = np.round(x / size * 2.0 ** draw.integers(0, 12, (channels, 1)))
    return np.where((lot > 0.28) & (lot < 0.31), steps * precision.storage.smallest_subnormal, x)


def _draw_upstream(x: Array, precision: Precision, draw: Draw) -> Array:
    """A kind a channel, some at another scale, all within what a sum of them may hold."""
    z, chosen = draw.normal(size=x.shape), draw.choice(len(UPSTREAMS), len(x))
    dy = np.empty_like(x)
    for place, shape in enumerate(UPSTREAMS.values()):
        rows = chosen == place
        if rows.any():
            dy[rows] = shape(Upstream(z[rows], x[rows], draw))
    lot = draw.random((len(x), 1))
    dy = np.where(lot < 0.2, dy * 10 ** draw.uniform(-4, 4, lot.shape), dy)
    dy = np.where(lot > 0.97, dy * 10 ** draw.uniform(0, 5, lot.shape) * precision.storage.smallest_normal, dy)
    return fit_upstream(dy, precision)


def _draw_state(x: Array, precision: Precision, draw: Draw) -> State:
    """gamma and beta of many sizes; running statistics at the place of x, or at its scale."""
    channels, wide = len(x), draw.random(len(x)) < 0.3
    gamma = draw.choice([0.0, 1.0, -1.0, 1e2, 1e-2, 0.7], channels)
    gamma = np.where(wide, draw.normal(size=channels) * 10 ** draw.uniform(-7, 3, channels), gamma)
    beta = draw.normal(size=channels) * np.where(
        wide, 10 ** draw.uniform(-4, 4, channels), draw.integers(0, 2, channels)
    )
    near, spread = x.mean(axis=1), np.clip(x.std(axis=1), 1e-20, 1e150)
    away = draw.normal(size=channels) * (np.abs(near) + spread)
    mean = np.where(draw.random(channels) < 0.5, near, away)
    var = spread**2 * 10 ** draw.uniform(-2, 2, channels)
    dtype, most = as_dtype(precision.parameters.name), precision.parameters.largest / 8
    gamma, beta, mean, var = (cast(np.clip(values, -most, most), dtype) for values in (gamma, beta, mean, var))
    return State(gamma, beta, mean, var)


def draw_channels(precision: str, seed: int, turn: int, channels: int, longest: int = 2000) -> Channels:
    """The batch number `turn` of a seed: the same whoever draws it."""
    p = PRECISIONS[precision]
    draw = np.random.default_rng([seed, turn, *precision.encode()])
    shape, eps = _draw_length(draw, longest), float(draw.choice(EPS))
    m = int(np.prod(shape))
    setting, names = Setting(eps, 2.0 ** (1 - p.storage.precision), draw), list(ALL_KINDS)
    chosen = draw.choice(len(names), channels)
    x = np.empty((channels, m))
    for place, name in enumerate(names):
        rows = chosen == place
        if rows.any():
            x[rows] = ALL_KINDS[name](draw.normal(size=(int(rows.sum()), m)), setting)
    x = cast(fit(_place(x, p, draw), p), as_dtype(p.storage.name))
    dy = cast(_draw_upstream(x.astype(np.float64), p, draw), x.dtype)
    batch = Batch(x, dy, _draw_state(x.astype(np.float64), p, draw), eps, shape)
    normalises, stores = ("biased", "biased", "unbiased")[turn % 3], ("unbiased", "unbiased", "biased")[turn // 3 % 3]
    weighs = ("new", "new", "old")[turn // 9 % 3]
    kinds = tuple(names[k] for k in chosen)
    return Channels(batch, float(draw.choice(MOMENTA)), normalises, stores, weighs, turn, kinds)


def widened(b: Batch, dtype: Any) -> Batch:
    """The batch and its state in another dtype."""
    s = b.state
    gamma, beta, mean, var = (cast(v, dtype) for v in (s.gamma, s.beta, s.running_mean, s.running_var))
    return replace(b, x=cast(b.x, dtype), dy=cast(b.dy, dtype), state=State(gamma, beta, mean, var))
