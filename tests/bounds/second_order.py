"""A search for right layers past the bounds of second order: `python -m tests.bounds.second_order --channels 20000`.

Each batch is that of the other search, with directions of every kind of upstream gradient. Right are torch's own
kernels, forwards that are recorded twice, and the formulas written out with sums from first to last.
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from bnspec.conformance.expected import ExpectedPass, expect_evaluation, expect_training
from bnspec.conformance.expected_twice import expect_second
from numpy.typing import NDArray
from torch import Tensor

from bnspec.layers.protocol import Gradients
from tests.bounds.batches import running
from tests.bounds.measuring import find_error, find_share, terms_for
from tests.bounds.populations import UPSTREAMS, Channels, Upstream, draw_channels
from tests.bounds.torch_algorithms import enter, leave

Array = NDArray[Any]
Found = dict[str, Array]
BY = ("x", "gamma", "dy")
FORMS = ("plain", "quotient", "power", "folded", "textbook", "var_mean")
BATCH = 40


def draw_directions(c: Channels, precision: str, seed: int, turn: int) -> Gradients:
    """By x, each channel of another kind, by gamma and by beta."""
    b, draw = c.batch, np.random.default_rng([seed, turn, len(precision), 11])
    x, channels = b.x.astype(np.float64), len(b.x)
    kinds = [make(Upstream(draw.normal(size=x.shape), x, draw)) for make in UPSTREAMS.values()]
    chosen = draw.integers(len(kinds), size=channels)
    u = np.stack([kinds[kind][channel] for channel, kind in enumerate(chosen)])
    u = np.where(np.isfinite(u), u, 1.0) * 10 ** draw.uniform(-3, 3, (channels, 1))
    a, beta = (draw.choice([0.0, 1.0, -0.7, 30.0, 1e-3], channels) for _ in range(2))
    dtype = b.x.dtype
    return Gradients(b.native(u.astype(dtype)), a.astype(dtype), beta.astype(dtype))


def run_torch(c: Channels, training: bool, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    mean, var = (enter(each) for each in running(c.batch))
    return F.batch_norm(x, mean, var, gamma, beta, training, 0.1, c.batch.eps)


def forward(form: str, c: Channels, training: bool, x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
    """y (C, m) of a forward written out."""
    b, m = c.batch, x.shape[1]
    if not training:
        mean, var = (enter(each)[:, None] for each in running(b))
    elif form == "var_mean":
        correction = 0 if c.normalises_with == "biased" else 1
        var, mean = torch.var_mean(x, dim=1, keepdim=True, correction=correction)
    else:
        mean = x.mean(1, keepdim=True)
        textbook = form == "textbook"
        biased = ((x * x).mean(1, keepdim=True) - mean * mean).clamp(min=0) if textbook else None
        biased = (x - mean).square().mean(1, keepdim=True) if biased is None else biased
        var = biased if c.normalises_with == "biased" else biased * (m / (m - 1))
    if form == "quotient":
        return (x - mean) / torch.sqrt(var + b.eps) * gamma[:, None] + beta[:, None]
    rstd = (var + b.eps) ** -0.5 if form == "power" else torch.rsqrt(var + b.eps)
    if form == "folded":
        alpha = gamma[:, None] * rstd
        return x * alpha + (beta[:, None] - mean * alpha)
    return (x - mean) * rstd * gamma[:, None] + beta[:, None]


def record_twice(
    c: Channels, along: Gradients, run: Callable[..., Tensor], native: bool, layout: Any, curved: bool
) -> Found:
    """Gradients of L2 by autograd, for a loss that is `curved` in y or not."""
    b = c.batch
    shape = b.native if native else lambda values: values
    x, dy = (enter(np.ascontiguousarray(shape(v))).contiguous(memory_format=layout) for v in (b.x, b.dy))
    u = enter(np.ascontiguousarray(along.x if native else b.flat(_there(along.x))))
    gamma, beta = enter(b.state.gamma), enter(b.state.beta)
    x, gamma, beta, dy = (t.requires_grad_() for t in (x, gamma, beta, dy))
    y = run(x, gamma, beta)
    loss = (y * dy).sum() + ((y - y.detach()).square().sum() / 2 if curved else 0)
    first = torch.autograd.grad(loss, (x, gamma, beta), create_graph=True)
    moved = sum((g * d).sum() for g, d in zip(first, (u, enter(along.gamma), enter(along.beta)), strict=True))
    assert isinstance(moved, Tensor)
    found = torch.autograd.grad(moved, (x, gamma, dy))
    flat = b.flat if native else lambda values: values
    return {by: leave(g) if by == "gamma" else flat(leave(g)) for by, g in zip(BY, found, strict=True)}


def write_out(c: Channels, along: Gradients, training: bool) -> Found:
    """The formulas of the specification in the format of the batch, each sum from first to last."""
    b, (u, a, beta) = c.batch, (c.batch.flat(_there(along.x)), _there(along.gamma), _there(along.beta))
    x, g, gamma, m, kind = b.x, b.dy, _there(b.state.gamma), b.x.shape[1], b.x.dtype.type

    def add(values: Array) -> Array:
        return np.asarray(np.cumsum(values, axis=1, dtype=values.dtype)[:, -1:])

    k = m if c.normalises_with == "biased" else m - 1
    if training:
        d = x - add(x) / kind(m)
        var = add(d * d) / kind(k)
    else:
        mean, var = (each[:, None] for each in running(b))
        d = x - mean
    r = kind(1) / np.sqrt(var + kind(b.eps))
    xhat, a, beta, gamma = d * r, a[:, None], beta[:, None], gamma[:, None]
    if not training:
        return {"x": a * r * g, "gamma": (add(u * g) * r)[:, 0], "dy": a * xhat + beta + gamma * r * u}
    h, q = add(g * xhat) / kind(k), add(u * xhat) / kind(k)
    w, s = g - add(g) / kind(m) - xhat * h, u - add(u) / kind(m) - xhat * q
    p = add(g * s) / kind(k)
    by_x = a * r * w - gamma * r * r * (q * w + h * s + xhat * p)
    return {"x": by_x, "gamma": (r * add(u * w))[:, 0], "dy": a * xhat + beta + gamma * r * s}


def _there(values: Array | None) -> Array:
    assert values is not None
    return values


def try_right(c: Channels, along: Gradients, training: bool, curved: bool) -> Iterator[tuple[str, Found]]:
    """Each right implementation at one batch."""
    b = c.batch
    plain = torch.contiguous_format
    for form in FORMS if training else ("plain", "quotient", "folded"):
        yield form, record_twice(c, along, partial(forward, form, c, training), False, plain, curved)
    if not curved:
        yield "written out", write_out(c, along, training)
    if training and (c.normalises_with != "biased" or not b.eps):  # which torch refuses
        return
    for name, layout in (("F.batch_norm", plain), ("F.batch_norm, channels last", torch.channels_last)):
        yield name, record_twice(c, along, partial(run_torch, c, training), True, layout, curved)


def expect(c: Channels, precision: str, training: bool) -> ExpectedPass:
    b, terms = c.batch, terms_for(precision, "any", **c.conventions)
    return (expect_training if training else expect_evaluation)(terms, b.native(b.x), b.state, b.eps)


def find_ratios(
    precision: str, seed: int, turn: int, channels: int = BATCH, *, longest: int = 300
) -> Iterator[tuple[str, str, Array, float]]:
    """Implementation, quantity, ratios (C,) of error to bound, and the share of channels on which much is claimed."""
    c = draw_channels(precision, seed, turn, channels, longest)
    along = draw_directions(c, precision, seed, turn)
    a = terms_for(precision).arithmetic
    for training, curved in product((True, False), repeat=2):
        expected = expect(c, precision, training)
        wanted = expect_second(expected, c.batch.native(c.batch.dy), along, curved=curved)
        for name, found in try_right(c, along, training, curved):
            for by, got in found.items():
                share = find_share(find_error(got, wanted[by].exact, a), wanted[by].bound)
                ratio = np.fmax.reduce(share, axis=1) if share.ndim == 2 else share
                limit, exact = (
                    np.reshape(v, (channels, -1)).max(axis=1)
                    for v in (wanted[by].bound, np.abs(a.float64(wanted[by].exact)))
                )
                told = float(np.mean((limit <= 0.1 * exact) & (exact > 0)))
                yield f"{name}{'' if training else ', evaluation'}{', curved' if curved else ''}", by, ratio, told


def main() -> int:
    """Search, print the largest ratio of each implementation and quantity; 1 where one exceeds 1."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--channels", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    worst, began, off = dict[tuple[str, str, str], tuple[float, int]](), time.perf_counter(), False
    for turn in range(options.channels // BATCH):
        precision = ("float32", "float64")[turn % 2]
        with np.errstate(all="ignore"):
            for name, by, ratio, _ in find_ratios(precision, options.seed, turn):
                top = float(np.nanmax(ratio, initial=0.0))
                key = (precision, name, by)
                worst[key] = max(worst.get(key, (0.0, 0)), (top, turn))
    for (precision, name, by), (top, turn) in sorted(worst.items(), key=lambda item: item[1]):
        off |= not top <= 1
        sys.stdout.write(f"{top:12.4g}  {precision}  {by:5}  {name}  turn {turn}\n")
    sys.stdout.write(f"{options.channels} channels, seed {options.seed}, {time.perf_counter() - began:.0f} s\n")
    return int(off)


if __name__ == "__main__":
    sys.exit(main())
