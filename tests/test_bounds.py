"""The rounding bounds: right layers in real arithmetic stay inside them, wrong ones fall out.

`pytest tests/test_bounds.py -o junit_family=xunit1 --junitxml=FILE` writes the worst ratio of error to bound of every
implementation as properties; the table in `docs/bounds.md` is made of them.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from bnspec.conformance.expected import (
    ExpectedPass,
    Terms,
    begin_buffers,
    expect_evaluation,
    expect_training,
    update_buffers,
)
from numpy.typing import NDArray

from bnspec.layers.protocol import State
from bnspec.spec.bounds import accumulate, bound_blend, bound_moments, count_debiasing, rounding_for
from bnspec.spec.dialects import TORCH
from bnspec.spec.equations import blend, weight_of_new_batch
from bnspec.spec.formats import FLOAT32, FLOAT64, FORMATS
from bnspec.spec.precision import Arithmetic, arithmetic_for

Array = NDArray[Any]
Statistics = Callable[[Array, Array], tuple[Array, Array]]
"""Mean and biased variance of x (C, m), given the running mean (C,); everything in the dtype of x."""

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
NORMALISES = pytest.mark.parametrize("normalises", ["biased", "unbiased"])
CASES = 300


def terms_for(dtype: str, algorithm: str = "any", **conventions: Any) -> Terms:
    storage = FORMATS[dtype]
    dialect = replace(TORCH, **conventions)
    return Terms(dialect, arithmetic_for(storage), rounding_for(storage, storage), algorithm)


# Right algorithms for mean and biased variance


def in_order(x: Array) -> Array:
    """A sum from first to last, one addition at a time, as a plain loop does."""
    return np.asarray(np.cumsum(x, axis=1, dtype=x.dtype)[:, -1])


def two_pass(x: Array, _: Array) -> tuple[Array, Array]:
    mean = x.mean(axis=1)
    return mean, ((x - mean[:, None]) ** 2).mean(axis=1)


def two_pass_in_order(x: Array, _: Array) -> tuple[Array, Array]:
    m = x.dtype.type(x.shape[1])
    mean = in_order(x) / m
    return mean, in_order((x - mean[:, None]) ** 2) / m


def corrected(x: Array, _: Array) -> tuple[Array, Array]:
    m = x.dtype.type(x.shape[1])
    mean = in_order(x) / m
    d = x - mean[:, None]
    return mean, (in_order(d * d) - in_order(d) ** 2 / m) / m


def welford(x: Array, _: Array) -> tuple[Array, Array]:
    mean, squares = x[:, 0].copy(), np.zeros_like(x[:, 0])
    for k in range(1, x.shape[1]):
        delta = x[:, k] - mean
        mean = mean + delta / x.dtype.type(k + 1)
        squares = squares + delta * (x[:, k] - mean)
    return mean, squares / x.dtype.type(x.shape[1])


def chan(x: Array, _: Array) -> tuple[Array, Array]:
    def join(part: Array) -> tuple[Array, Array]:
        m, one = part.shape[1], x.dtype.type
        if m == 1:
            return part[:, 0], np.zeros_like(part[:, 0])
        half = m // 2
        (a, sa), (b, sb) = join(part[:, :half]), join(part[:, half:])
        delta = b - a
        return a + delta * one((m - half) / m), sa + sb + delta * delta * one(half * (m - half) / m)

    mean, squares = join(x)
    return mean, squares / x.dtype.type(x.shape[1])


def textbook(x: Array, _: Array) -> tuple[Array, Array]:
    m = x.dtype.type(x.shape[1])
    mean = in_order(x) / m
    return mean, np.maximum(in_order(x * x) / m - mean * mean, 0)


def shifted_by(x: Array, shift: Array) -> tuple[Array, Array]:
    mean, var = textbook(x - shift[:, None], shift)
    return mean + shift, var


STATISTICS: dict[str, tuple[str, Statistics]] = {
    "two passes, pairwise sums": ("twopass", two_pass),
    "two passes, sums in order": ("twopass", two_pass_in_order),
    "two passes, corrected": ("twopass", corrected),
    "Welford": ("stable", welford),
    "Chan, pairwise": ("stable", chan),
    "shifted by the first value": ("shifted", lambda x, _: shifted_by(x, x[:, 0])),
    "shifted by the running mean": ("shifted", shifted_by),
    "textbook, clamped": ("textbook", textbook),
}


# Cases


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


def shape_channel(kind: str, m: int, eps: float, ulp: float, draw: np.random.Generator) -> Array:
    z = draw.normal(size=m)
    match kind:
        case "normal":
            return z
        case "offset":
            return z + 10 ** draw.uniform(0, 6)
        case "constant":
            return np.full(m, draw.normal())
        case "zeros":
            return np.zeros(m)
        case "outlier":
            z[draw.integers(m)] = 10 ** draw.uniform(1, 6)
            return z
        case "first out":
            z[0] = 10 ** draw.uniform(1, 6)
            return z
        case "alternating":
            return np.asarray(np.abs(z) * (-1.0) ** np.arange(m) + draw.normal())
        case "sorted":
            return np.asarray(np.sort(z + draw.uniform(0, 5)))
        case "geometric":
            return np.geomspace(1e-8, 1, m)
        case "integers":
            return draw.integers(-3, 4, m) + float(draw.integers(0, 1000))
        case "one ulp":
            return 1 + ulp * draw.integers(0, 2, m)
        case "of eps":
            return np.asarray(z * np.sqrt(eps))
        case _:
            return np.asarray(draw.choice([-1.0, 1.0], m) * 100 + z * 1e-3)


KINDS = (
    "normal", "offset", "offset", "constant", "zeros", "outlier", "first out", "alternating", "sorted", "geometric",
    "integers", "one ulp", "of eps", "bimodal",
)  # fmt: skip


def shape_gradient(kind: int, x: Array, draw: np.random.Generator) -> Array:
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
    ulp = float(np.finfo(dtype).eps)
    x, dy = np.empty((channels, m)), np.empty((channels, m))
    for c in range(channels):
        values = shape_channel(str(draw.choice(KINDS)), m, eps, ulp, draw)
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


# Right layers


def run_numpy(b: Batch, statistics: Statistics, divides_by: int, *, folded: bool, raw: bool) -> dict[str, Array]:
    """A training pass in the dtype of x; `folded` y = x alpha + (beta - mean alpha), `raw` dgamma from sums of dy x."""
    real, m = b.x.dtype.type, b.x.shape[1]
    mean, biased = statistics(b.x, running(b)[0])
    var = biased if divides_by == m else biased * real(m / divides_by)
    return {
        "mean": mean,
        "biased": biased,
        **run_from(b, mean, var, folded=folded, raw=raw, divides_by=divides_by),
    }


def run_from(b: Batch, mean: Array, var: Array, *, folded: bool, raw: bool, divides_by: int | None) -> dict[str, Array]:
    """Output and gradients from mean and variance; `divides_by` is None in evaluation."""
    x, dy, gamma, beta = b.x, b.dy, b.state.gamma, b.state.beta
    assert gamma is not None
    assert beta is not None
    real, m = x.dtype.type, x.shape[1]
    rstd = real(1) / np.sqrt(var + real(b.eps))
    xhat = (x - mean[:, None]) * rstd[:, None]
    alpha = gamma * rstd
    y = x * alpha[:, None] + (beta - mean * alpha)[:, None] if folded else xhat * gamma[:, None] + beta[:, None]
    dbeta = in_order(dy)
    dgamma = rstd * (in_order(dy * x) - mean * dbeta) if raw else (dy * xhat).sum(axis=1)
    inner = dy
    if divides_by is not None:
        inner = dy - (dbeta / real(m))[:, None] - xhat * (dgamma / real(divides_by))[:, None]
    return {"y": y, "dx": inner * alpha[:, None], "dgamma": dgamma, "dbeta": dbeta}


def run_torch(b: Batch, layout: str, *, training: bool = True) -> dict[str, Array]:
    form = torch.channels_last if layout == "channels last" else torch.contiguous_format
    x, dy = (torch.tensor(b.native(v)).contiguous(memory_format=form) for v in (b.x, b.dy))
    s = b.state
    gamma, beta, mean, var = (torch.tensor(v) for v in (s.gamma, s.beta, s.running_mean, s.running_var))
    leaves = [t.requires_grad_() for t in (x, gamma, beta)]
    y = F.batch_norm(x, mean, var, gamma, beta, training, 0.3, b.eps)
    dx, dgamma, dbeta = (g.detach().numpy() for g in torch.autograd.grad(y, leaves, dy))
    found = {"y": b.flat(y.detach().numpy()), "dx": b.flat(dx), "dgamma": dgamma, "dbeta": dbeta}
    return found | {"running_mean": mean.numpy(), "running_var": var.numpy()} if training else found


def run_composed(b: Batch, divides_by: int, form: str) -> dict[str, Array]:
    """The forward written out in torch, differentiated by recording, through mean and variance and all."""
    x, gamma, beta = (torch.tensor(v, requires_grad=True) for v in (b.x, b.state.gamma, b.state.beta))
    mean = x.mean(1, keepdim=True)
    if form == "textbook":
        biased = ((x * x).mean(1, keepdim=True) - mean * mean).clamp(min=0)
    else:
        biased = ((x - mean) ** 2).mean(1, keepdim=True)
    rstd = torch.rsqrt(biased * (x.shape[1] / divides_by) + b.eps)
    if form == "folded":
        alpha = gamma[:, None] * rstd
        y = x * alpha + (beta[:, None] - mean * alpha)
    else:
        y = (x - mean) * rstd * gamma[:, None] + beta[:, None]
    dx, dgamma, dbeta = (g.numpy() for g in torch.autograd.grad(y, (x, gamma, beta), torch.tensor(b.dy)))
    return {"y": y.detach().numpy(), "dx": dx, "dgamma": dgamma, "dbeta": dbeta}


# Judging


def measure(got: Array, exact: Any, bound: Array, a: Arithmetic) -> float:
    """The largest error in units of its bound, over what is claimed; infinite where a claimed value is not finite."""
    with np.errstate(all="ignore"):
        off = a.float64(abs(a.array(got) - exact))
        ratios = np.where(off == 0, 0.0, off / bound)[np.isfinite(bound)]
    return float(np.where(np.isnan(ratios), np.inf, ratios).max(initial=0.0))


Claims = dict[str, tuple[Any, Array]]
"""Exact value and bound of each quantity."""


def claim(b: Batch, expected: ExpectedPass, *, momentum: float | None = None) -> Claims:
    with np.errstate(all="ignore"):  # eps = 0 under a constant channel: infinite, and nothing claimed
        gradients, errors = expected.differentiate(b.native(b.dy))
    claims = {
        "y": (expected.forward.y, expected.e_y),
        "dx": (gradients.x, errors.x),
        "dgamma": (gradients.gamma, errors.gamma),
        "dbeta": (gradients.beta, errors.beta),
    }
    if expected.moments is not None:
        claims["mean"] = expected.moments.mean, expected.errors.mean
        claims["biased"] = expected.moments.var, expected.errors.biased_var
    if momentum is not None:
        buffers = update_buffers(begin_buffers(expected.terms, b.state), expected, momentum, 0)
        claims["running_mean"] = buffers.mean, buffers.e_mean
        claims["running_var"] = buffers.var, buffers.e_var
    return claims


class Worst:
    """The worst ratio of every implementation and quantity, and the cases beyond their bound."""

    def __init__(self) -> None:
        self.ratios: dict[tuple[str, str], float] = defaultdict(float)
        self.beyond: list[str] = []

    def add(self, who: str, case: int, found: dict[str, Array], claims: Claims, a: Arithmetic) -> None:
        for quantity, value in found.items():
            if quantity not in claims:
                continue
            ratio = measure(value, *claims[quantity], a)
            self.ratios[who, quantity] = max(self.ratios[who, quantity], ratio)
            if ratio > 1:
                self.beyond.append(f"case {case}: {quantity} of {who} is {ratio:.3g} bounds off")

    def settle(self, record: Callable[[str, object], None]) -> None:
        for (who, quantity), ratio in self.ratios.items():
            record(f"{who}: {quantity}", round(ratio, 3))
        assert not self.beyond, "\n".join(self.beyond[:10])


@DTYPES
@NORMALISES
def test_right_training_stays_inside_the_bounds(dtype: str, normalises: Any, record_property: Any) -> None:
    worst = Worst()
    for case in range(CASES):
        b = adversarial(case, dtype)
        m = b.x.shape[1]
        k = m if normalises == "biased" else m - 1
        claims = {}
        for algorithm in ("any", "twopass", "stable", "shifted", "textbook"):
            terms = terms_for(dtype, algorithm, normalises_with=normalises)
            claims[algorithm] = claim(b, expect_training(terms, b.native(b.x), b.state, b.eps), momentum=0.3)
        a = terms.arithmetic
        with np.errstate(all="ignore"):
            for turn, (name, (own, statistics)) in enumerate(STATISTICS.items()):
                folded, raw = bool((case + turn) % 2), bool((case + turn) // 2 % 2)
                found = run_numpy(b, statistics, k, folded=folded, raw=raw)
                for algorithm in (own, "any"):
                    worst.add(f"{name} ({algorithm})", case, found, claims[algorithm], a)
        for form, own in (("plain", "twopass"), ("folded", "twopass"), ("textbook", "textbook")):
            found = run_composed(b, k, form)
            for algorithm in (own, "any"):
                worst.add(f"recorded, {form} ({algorithm})", case, found, claims[algorithm], a)
        if normalises == "biased" and b.eps > 0:
            for layout in ("contiguous", "channels last"):
                found = run_torch(b, layout)
                for algorithm in ("twopass", "any"):
                    worst.add(f"F.batch_norm, {layout} ({algorithm})", case, found, claims[algorithm], a)
    worst.settle(record_property)


@DTYPES
def test_right_evaluation_stays_inside_the_bounds(dtype: str, record_property: Any) -> None:
    worst, terms = Worst(), terms_for(dtype)
    for case in range(CASES):
        b = adversarial(10_000 + case, dtype)
        mean, var = running(b)
        claims = claim(b, expect_evaluation(terms, b.native(b.x), b.state, b.eps))
        with np.errstate(all="ignore"):
            for folded in (False, True):
                found = run_from(b, mean, var, folded=folded, raw=folded, divides_by=None)
                worst.add("folded" if folded else "plain", case, found, claims, terms.arithmetic)
        for layout in ("contiguous", "channels last") if b.eps > 0 else ():
            worst.add(f"F.batch_norm, {layout}", case, run_torch(b, layout, training=False), claims, terms.arithmetic)
    worst.settle(record_property)


def weigh(b: Batch, momentum: float, gives: str) -> tuple[Any, Any]:
    """The weights of old and new in the dtype of x, where a layer is `gives`: the new weight, or the old."""
    real = b.x.dtype.type
    if gives == "new":
        return real(1) - real(momentum), real(momentum)
    return real(momentum), real(1) - real(momentum)


@DTYPES
@pytest.mark.parametrize("weighs", ["new", "old"])
@pytest.mark.parametrize("stores", ["biased", "unbiased"])
def test_right_running_statistics_stay_inside_the_bounds(
    dtype: str, weighs: Any, stores: Any, record_property: Any
) -> None:
    worst = Worst()
    terms = terms_for(dtype, momentum_weighs=weighs, stores=stores)
    for case in range(CASES):
        b = adversarial(20_000 + case, dtype)
        momentum = (0.0, 0.01, 0.1, 1 / 3, 0.5, 0.9, 0.999, 1.0)[case % 8]
        real, m = b.x.dtype.type, b.x.shape[1]
        own, old = running(b)
        claims = claim(b, expect_training(terms, b.native(b.x), b.state, b.eps), momentum=momentum)
        for name, (_, statistics) in STATISTICS.items():
            mean, var = statistics(b.x, own)
            if stores == "unbiased":
                var = var * real(m / (m - 1))
            for gives in ("new", "old"):
                # A layer may be told the other weight, rounded: torch told 1 - rho, flax told 1 - a.
                told = momentum if gives == weighs else float(real(1.0 - momentum))
                keeps, takes = weigh(b, told, gives)
                found = {"running_mean": keeps * own + takes * mean, "running_var": keeps * old + takes * var}
                worst.add(f"{name}, told the weight of the {gives}", case, found, claims, terms.arithmetic)
            moved = own + takes * (mean - own), old + takes * (var - old)
            found = dict(zip(("running_mean", "running_var"), moved, strict=True))
            worst.add(f"{name}, by the difference", case, found, claims, terms.arithmetic)
    worst.settle(record_property)


@DTYPES
def test_a_layer_told_the_other_weight_stays_inside_where_the_buffers_are_small(dtype: str) -> None:
    """The old weight in float32 moves a small new weight by thousands of its roundings, which the new value carries."""
    terms, real, worst = terms_for(dtype), np.dtype(dtype).type, Worst()
    for case in range(50):
        b = structural(case, dtype)
        start = np.full(3, 1e-6, dtype)
        b = replace(b, x=b.x + real(100), state=replace(b.state, running_mean=start, running_var=start))
        mean, var = two_pass(b.x, start)
        for momentum in (0.001, 0.01, 0.03):
            claims = claim(b, expect_training(terms, b.native(b.x), b.state, b.eps), momentum=momentum)
            keeps, takes = weigh(b, float(real(1.0 - momentum)), "old")
            unbiased = var * real(b.x.shape[1] / (b.x.shape[1] - 1))
            found = {"running_mean": keeps * start + takes * mean, "running_var": keeps * start + takes * unbiased}
            worst.add("two passes", case, found, claims, terms.arithmetic)
    worst.settle(lambda *_: None)


@DTYPES
@pytest.mark.parametrize("rho", [0.5, 0.9, 0.99, 0.999, 0.9999])
def test_debiasing_near_one_stays_inside_the_bounds(dtype: str, rho: float, record_property: Any) -> None:
    """1 - rho**k cancels: what rounding rho and its power does is large while few batches were seen."""
    terms = terms_for(dtype, momentum_weighs="old", average="debiased")
    a, real, worst = terms.arithmetic, np.dtype(dtype).type, 0.0
    draw, exact_new = np.random.default_rng(9), np.zeros(200)
    held, bound, hidden, decay = a.array(exact_new), exact_new, exact_new.astype(dtype), real(1)
    for k in range(20):
        new = draw.normal(size=200).astype(dtype)
        before, weight = a.float64(held), weight_of_new_batch(terms.dialect, rho, k, a)
        held = blend(held, a.array(new), weight)
        bound = bound_blend(
            before, new.astype(np.float64), a.float64(held), bound, exact_new, float(a.float64(weight)), terms.rounding,
            count_debiasing(terms.dialect, rho, k),
        )  # fmt: skip
        hidden, decay = hidden * real(rho) + new * real(1 - rho), decay * real(rho)
        for power in (decay, real(rho) ** real(k + 1)):
            worst = max(worst, measure(hidden / (real(1) - power), held, bound, a))
    record_property("worst", round(worst, 3))
    assert worst <= 1


@pytest.mark.parametrize("name", ["two passes, sums in order", "Welford", "shifted by the first value"])
def test_climbing_does_not_leave_the_bounds(name: str, record_property: Any) -> None:
    """Two hundred evaluations that go uphill, from the first of them, toward the largest share of the bound."""
    own, statistics = STATISTICS[name]
    terms, draw = terms_for("float32", own), np.random.default_rng(5)

    def climb_to(b: Batch) -> float:
        found = run_numpy(b, statistics, b.x.shape[1], folded=True, raw=True)
        claims = claim(b, expect_training(terms, b.native(b.x), b.state, b.eps), momentum=0.3)
        return max(measure(value, *claims[each], terms.arithmetic) for each, value in found.items())

    best = structural(5, "float32", channels=1)
    start = height = climb_to(best)
    for _ in range(199):
        moved = best.x.copy()
        some = draw.random(moved.shape) < 0.3
        match int(draw.integers(4)):
            case 0:
                moved[some] *= np.float32(10 ** draw.normal())
            case 1:
                moved += np.float32(draw.normal() * np.abs(moved).max())
            case 2:
                moved[some] = moved[0, 0]
            case _:
                moved[some] = np.nextafter(moved[some], np.float32(np.inf))
        tried = replace(best, x=moved)
        reached = climb_to(tried)
        if reached >= height:
            best, height = tried, reached
    record_property("worst", round(height, 3))
    assert start < height <= 1


# The bounds are not loose


def exact_parts(b: Batch) -> dict[str, Array]:
    """A right training pass in float64, of which mistakes are made."""
    x, dy = b.x.astype(np.float64), b.dy.astype(np.float64)
    m = x.shape[1]
    mu, s2 = x.mean(axis=1), x.var(axis=1)
    gamma, beta, rm, rv = (np.asarray(v, np.float64) for v in (b.state.gamma, b.state.beta, *running(b)))
    r = 1 / np.sqrt(s2 + b.eps)
    xh = (x - mu[:, None]) * r[:, None]
    values = {"x": x, "g": dy, "mu": mu, "s2": s2, "r": r, "xh": xh, "gamma": gamma, "beta": beta, "rm": rm, "rv": rv}
    return values | {"m": np.asarray(float(m)), "eps": np.asarray(b.eps), "sg": dy.sum(1), "sgx": (dy * xh).sum(1)}


def output(p: dict[str, Array], mu: Array, root: Array) -> Array:
    return np.asarray((p["x"] - mu[:, None]) / root[:, None] * p["gamma"][:, None] + p["beta"][:, None])


def by_x(p: dict[str, Array], gamma: Array, mean: float, var: float) -> Array:
    inner = p["g"] - mean * p["sg"][:, None] / p["m"] - var * p["xh"] * p["sgx"][:, None] / p["m"]
    return np.asarray(inner * (gamma * p["r"])[:, None])


MISTAKES: dict[str, tuple[str, Callable[[dict[str, Array]], Array]]] = {
    "normalises with the unbiased variance": (
        "y",
        lambda p: output(p, p["mu"], np.sqrt(p["s2"] * p["m"] / (p["m"] - 1) + p["eps"])),
    ),
    "eps doubled": ("y", lambda p: output(p, p["mu"], np.sqrt(p["s2"] + 2 * p["eps"]))),
    "eps missing": ("y", lambda p: output(p, p["mu"], np.sqrt(p["s2"]))),
    "eps outside the root": ("y", lambda p: output(p, p["mu"], np.sqrt(p["s2"]) + p["eps"])),
    "mean without the last value": ("y", lambda p: output(p, p["x"][:, :-1].mean(1), 1 / p["r"])),
    "variance without the last value": (
        "y",
        lambda p: output(p, p["mu"], np.sqrt(p["x"][:, :-1].var(1) + p["eps"])),
    ),
    "beta subtracted": ("y", lambda p: output(p | {"beta": -p["beta"]}, p["mu"], 1 / p["r"])),
    "gamma missing in dx": ("dx", lambda p: by_x(p, np.ones_like(p["gamma"]), 1, 1)),
    "dx without the path through the mean": ("dx", lambda p: by_x(p, p["gamma"], 0, 1)),
    "dx without the path through the variance": ("dx", lambda p: by_x(p, p["gamma"], 1, 0)),
    "dgamma of the deviation": ("dgamma", lambda p: p["sgx"] / p["r"]),
    "dgamma of x not centred": ("dgamma", lambda p: (p["g"] * p["x"]).sum(1) * p["r"]),
    "dbeta averaged": ("dbeta", lambda p: p["sg"] / p["m"]),
    "biased variance stored": ("running_var", lambda p: 0.7 * p["rv"] + 0.3 * p["s2"]),
    "Bessel's correction squared": (
        "running_var",
        lambda p: 0.7 * p["rv"] + 0.3 * p["s2"] * (p["m"] / (p["m"] - 1)) ** 2,
    ),
    "momentum of the other kind": ("running_mean", lambda p: 0.3 * p["rm"] + 0.7 * p["mu"]),
    "running mean with the wrong sign": ("running_mean", lambda p: -0.7 * p["rm"] + 0.3 * p["mu"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
@DTYPES
def test_a_structural_mistake_is_far_outside(mistake: str, dtype: str) -> None:
    quantity, formula = MISTAKES[mistake]
    # float64 mistakes are formed in float64 too, whose rounding cannot matter at ten bounds and more.
    terms, ratios = terms_for(dtype), []
    for seed in range(20):
        b = structural(seed, dtype)
        claims = claim(b, expect_training(terms, b.native(b.x), b.state, b.eps), momentum=0.3)
        right = run_numpy(b, two_pass, b.x.shape[1], folded=False, raw=False)
        assert all(measure(right[each], *claims[each], terms.arithmetic) <= 1 for each in right)
        ratios.append(measure(formula(exact_parts(b)), *claims[quantity], terms.arithmetic))
    assert min(ratios) > 10, f"{mistake} is only {min(ratios):.3g} bounds off in {quantity}"


# Properties of the bounds themselves


def test_accumulated_roundings_grow_and_end_without_a_claim() -> None:
    u = FLOAT32.unit_roundoff
    assert accumulate(1, u) == u / (1 - u)
    assert accumulate(100, u) > 100 * u
    assert accumulate(0.5 / u, u) == np.inf


def test_any_allows_what_each_class_allows() -> None:
    for case in range(50):
        b = adversarial(case, "float32")
        x = b.x.astype(np.float64)
        own = np.abs(running(b)[0].astype(np.float64))
        r = rounding_for(FLOAT32, FLOAT32)
        with np.errstate(all="ignore"):
            each = {
                name: bound_moments(x, x.mean(axis=1), x.var(axis=1), r, name, own)
                for name in ("twopass", "stable", "shifted", "textbook", "any")
            }
        for name in ("twopass", "stable", "shifted", "textbook"):
            for loose, tight in zip(each["any"], each[name], strict=True):
                assert (loose >= tight).all()


def test_no_claim_where_squares_or_results_may_overflow() -> None:
    terms = terms_for("float32")
    b = structural(1, "float32")
    huge = replace(b, x=b.x / np.abs(b.x).max() * np.float32(1e19))
    expected = expect_training(terms, huge.native(huge.x), huge.state, huge.eps)
    assert np.isinf(expected.errors.mean).all()
    half = replace(terms, rounding=rounding_for(FORMATS["float16"], FLOAT32))
    state = replace(b.state, gamma=np.full(3, 1e5, np.float32))
    got = expect_training(half, b.native(b.x), state, b.eps)
    beyond = np.abs(half.arithmetic.float64(got.forward.y)) >= 65504
    assert beyond.any()
    assert np.isinf(got.e_y[beyond]).all()


def test_a_constant_channel_keeps_its_claim_as_long_as_eps_is_not_zero() -> None:
    x = np.full((8, 1), 0.1, dtype=np.float32)
    state, terms = State(), terms_for("float32")
    assert np.isfinite(expect_training(terms, x, state, 1e-5).e_y).all()
    assert np.isinf(expect_training(terms, x, state, 0.0).e_y).all()


def test_low_precision_storage_widens_and_keeps_its_arithmetic() -> None:
    half, single = FORMATS["bfloat16"], FLOAT32
    mixed, pure = rounding_for(half, single), rounding_for(half, half)
    assert mixed.arithmetic is single
    assert mixed.kept is single
    assert pure.kept is half
    assert rounding_for(FLOAT64, FLOAT64).extra(FLOAT64) == (0.0, 0.0)
    assert rounding_for(half, half, flushes=True).w == single.smallest_normal


def test_an_expected_evaluation_wants_running_statistics_and_gives_none() -> None:
    terms, b = terms_for("float32"), structural(1, "float32")
    with pytest.raises(ValueError, match="without running statistics"):
        expect_evaluation(terms, b.native(b.x), State(), b.eps)
    with pytest.raises(ValueError, match="that has none"):
        begin_buffers(terms, State())
    evaluated = expect_evaluation(terms, b.native(b.x), b.state, b.eps)
    with pytest.raises(ValueError, match="no batch statistics"):
        update_buffers(begin_buffers(terms, b.state), evaluated, 0.1, 0)
