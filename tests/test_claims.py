"""Claims about a layer in a network: right layers pass each clause, and each refuses the layer that it should.

The clauses run where they are asked for, or in thorough; C6 with scikit-learn alone, and never silently without.
"""

from __future__ import annotations

import importlib.util
from functools import cache
from typing import Any

import numpy as np
import pytest
from bnspec.conformance import table
from bnspec.conformance.experiment import Experiment
from bnspec.conformance.experiments.jitter import BATCHES, POPULATIONS
from bnspec.conformance.judges import claims

from bnspec.api import make_subject
from bnspec.certificate.model import FAILED
from bnspec.engine.plan import Request, UsageError, make_plan
from bnspec.engine.run import certify_subject
from bnspec.layers.target import load_target
from bnspec.spec.clauses import CLAUSES
from tests import claim_layers

ANYWHERE = ("C1", "C2", "C3", "C4", "C5")
has_digits = pytest.mark.skipif(importlib.util.find_spec("sklearn") is None, reason="scikit-learn is not installed")

REFUSED = {
    "Right": (),
    "Identity": ("C1", "C2", "C3", "C4", "C5"),
    "Detached": ("C2", "C4"),
    "FrozenScale": ("C2", "C3"),
    "Uphill": ("C2", "C3"),
    "Centred": ("C1", "C2", "C5"),
    "HalfOfTheBatch": ("C1", "C2", "C5"),
    "NeverEvaluates": ("C4", "C5"),
}
"""The clauses that refuse each layer of `claim_layers`; it passes the others."""


@cache
def outcomes(target: Any, clauses: tuple[str, ...], dtypes: tuple[str, ...] = ("float32",)) -> dict[str, str]:
    """By clause, asked for by name in the smallest profile."""
    obj = load_target(target).obj if isinstance(target, str) else target
    request = Request(profile="smoke", clauses=clauses, dtypes=dtypes)
    report = certify_subject(make_subject(obj, request, {})[0], request, "layer", {}, "")
    return {clause: report.clause(clause).outcome for clause in clauses}


@pytest.mark.parametrize("name", REFUSED)
def test_each_claim_refuses_the_layers_that_it_should(name: str) -> None:
    found = outcomes(getattr(claim_layers, name), ANYWHERE)
    assert {clause for clause, outcome in found.items() if outcome in FAILED} == set(REFUSED[name])
    assert all(outcome == "pass" for clause, outcome in found.items() if clause not in REFUSED[name])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "dtype"),
    [("reference:numpy", "float64"), ("reference:torch", "float32"), ("torch.nn:BatchNorm3d", "float64")],
)
def test_right_layers_pass_at_every_rank(target: str, dtype: str) -> None:
    assert outcomes(target, ANYWHERE, (dtype,)) == dict.fromkeys(ANYWHERE, "pass")


@has_digits
@pytest.mark.parametrize(
    ("target", "outcome"),
    [
        ("reference:seed", "pass"),
        (claim_layers.Right, "pass"),
        (claim_layers.Identity, "fail"),
        (claim_layers.Centred, "fail"),
        (claim_layers.Detached, "pass"),  # wrong gradients learn the digits too: C6 is no substitute for G1
    ],
    ids=str,
)
def test_digits_are_learnt_with_normalisation_alone(target: Any, outcome: str) -> None:
    assert outcomes(target, ("C6",)) == {"C6": outcome}


def right_subject(**request: Any) -> Any:
    return make_subject(claim_layers.Right, Request(**request), {})[0]


@pytest.mark.parametrize("profile", ["smoke", "standard", "thorough"])
def test_claims_run_in_thorough_or_by_name(profile: str) -> None:
    planned = make_plan(right_subject(), Request(profile=profile)).clauses
    assert set(ANYWHERE) & planned == (set(ANYWHERE) if profile == "thorough" else set())
    assert make_plan(right_subject(), Request(profile=profile, clauses=("C1",))).clauses == {"C1"}
    assert CLAUSES["C1"].asks_for(0, "float32") == CLAUSES["C1"].informative[-1]


def test_what_is_not_judged_by_itself_is_shown_as_skipped_and_by_what_it_runs() -> None:
    request = Request(profile="smoke", dtypes=("float32",), without=("gradients",))
    report = certify_subject(make_subject(claim_layers.Right, request, {})[0], request, "layer", {}, "")
    found = report.clause("C1")
    assert (found.outcome, found.executed) == ("skip", 0)
    assert found.why == "judged in longer profiles, or by --clause C1"


def test_without_scikit_learn_digits_are_not_run_and_never_green(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Experiment, "absent", property(lambda experiment: experiment.modules))
    assert table.EXPERIMENTS["digits"].absent == ("sklearn",)
    request = Request(profile="smoke", clauses=("C3", "C6"), dtypes=("float32",))
    report = certify_subject(right_subject(), request, "layer", {}, "")
    found = report.clause("C6")
    assert (report.clause("C3").outcome, found.outcome) == ("pass", "not-run")
    assert found.why is not None
    assert "C6 needs sklearn, which is not installed" in found.why
    with pytest.raises(UsageError, match="'bnspec\\[claims\\]'"):
        make_plan(right_subject(), Request(clauses=("C6",)))


@pytest.mark.parametrize("population", POPULATIONS, ids=lambda population: population.name)
def test_populations_have_the_moments_that_the_prediction_uses(population: Any) -> None:
    x = population.draw(np.random.RandomState(0), (2_000_000,))
    moments = [x.mean(), x.var(), (x**3).mean(), (x**4).mean()]
    np.testing.assert_allclose(moments, [0.0, 1.0, population.skew, population.kurtosis], atol=0.05)


def test_the_jitter_follows_the_prediction_where_the_delta_method_is_tried_alone() -> None:
    random, m, batches = np.random.RandomState(1), 128, 40_000
    for population in POPULATIONS:
        x = population.draw(random, (batches, m - 1))
        total, square = x.sum(axis=1), (x**2).sum(axis=1)
        for place in (2.0, 0.0, -1.5):
            mean = (total + place) / m
            y = (place - mean) / np.sqrt((square + place**2) / m - mean**2)
            theory = 1 + place * population.skew + place**2 * (population.kurtosis - 1) / 4
            assert abs(m * y.var() / theory - 1) < claims.BIAS / m + 6 * np.sqrt(2 / batches)


def test_variances_of_normal_values_stay_within_the_bound_that_claims_to_hold_them() -> None:
    found = np.random.RandomState(2).standard_normal((20_000, BATCHES)).var(axis=1, ddof=1)
    assert 0.15 < np.abs(found - 1).max() < claims.bound_variance(1) < 0.7
