"""The rounding bounds: right layers in real arithmetic stay inside them.

`python -m tests.bounds.at_length` does at length what is done here in brief; the tables in `docs/bounds.md` are its.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from bnspec.conformance.expected import expect_evaluation, expect_training

from tests.bounds.algorithms import STATISTICS, Ways, run_from, run_numpy
from tests.bounds.batches import Batch, adversarial, running, structural
from tests.bounds.measuring import Worst, claim, measure, terms_for
from tests.bounds.torch_algorithms import run_composed, run_torch

DTYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])
NORMALISES = pytest.mark.parametrize("normalises", ["biased", "unbiased"])
CASES = 300


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
                found = run_numpy(b, statistics, k, Ways(folded, raw))
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
                found = run_from(b, mean, var, Ways(folded, folded), None)
                worst.add("folded" if folded else "plain", case, found, claims, terms.arithmetic)
        for layout in ("contiguous", "channels last") if b.eps > 0 else ():
            worst.add(f"F.batch_norm, {layout}", case, run_torch(b, layout, training=False), claims, terms.arithmetic)
    worst.settle(record_property)


@pytest.mark.parametrize("name", ["two passes, sums in order", "Welford", "shifted by the first value"])
def test_climbing_does_not_leave_the_bounds(name: str, record_property: Any) -> None:
    """Two hundred evaluations that go uphill, from the first of them, toward the largest share of the bound."""
    own, statistics = STATISTICS[name]
    terms, draw = terms_for("float32", own), np.random.default_rng(5)

    def climb_to(b: Batch) -> float:
        found = run_numpy(b, statistics, b.x.shape[1], Ways(True, True))
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
