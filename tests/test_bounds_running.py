"""The rounding bounds of the running statistics: right blends stay inside them, however a layer was told its weight."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bnspec.conformance.expected import expect_training

from bnspec.spec.bounds import bound_blend, count_debiasing
from bnspec.spec.equations import blend, weight_of_new_batch
from tests.bounds.algorithms import STATISTICS, two_pass, weigh
from tests.bounds.batches import adversarial, running, structural
from tests.bounds.measuring import Worst, claim, measure, terms_for

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
CASES = 300


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
                keeps, takes = weigh(real, told, gives)
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
            keeps, takes = weigh(real, float(real(1.0 - momentum)), "old")
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
