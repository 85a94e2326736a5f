"""Relations between answers of one layer: right layers keep them, each clause refuses a wrong layer by itself."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
from bnspec.conformance.acting import Attempt, Played, Stage
from bnspec.conformance.compare import Judgement
from bnspec.conformance.experiments.differences import act_differences
from bnspec.conformance.experiments.exchanges import act_exchanges
from bnspec.conformance.experiments.relations import RelationsRecord, act_relations
from bnspec.conformance.experiments.weights import act_weights
from bnspec.conformance.judges import differences, evaluation, relations

import bnspec
from bnspec.api import make_subject
from bnspec.cases.case import Case
from bnspec.cases.fills import cast
from bnspec.cases.grids import draw_steps, put_on_grid
from bnspec.cases.layouts import channel_major
from bnspec.certificate.model import TargetReport
from bnspec.engine.plan import Request, UsageError
from bnspec.layers.protocol import as_dtype
from bnspec.layers.target import load_target
from bnspec.mutants.numpy_base import BatchNorm
from bnspec.mutants.record import Mutant
from bnspec.mutants.table import MUTANTS, RIGHT_LAYERS
from bnspec.spec.clauses import CLAUSES
from bnspec.spec.dialects import DIALECTS
from bnspec.spec.formats import FORMATS
from bnspec.spec.precision import quad
from bnspec.spec.truncation import bound_truncation
from tests.spoken_layers import speak

RELATIONS = ("F3", "F4", "F5", "F6", "F9", "F12", "E6", "E7", "G11", "G12")
SAME = ("torch.nn:BatchNorm1d", "torch.nn:BatchNorm2d", "torch.nn:BatchNorm3d", "torch.nn.functional:batch_norm")
TARGETS = dict.fromkeys((*SAME, "reference:numpy"), "torch") | {"reference:torch": "makemore"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def judge(obj: Any, *clauses: str, **options: Any) -> TargetReport:
    if isinstance(obj, str):
        obj = load_target(obj).obj
    asked: dict[str, Any] = {"profile": "smoke", "strict": True, "clauses": clauses or RELATIONS, **options}
    return bnspec.certify(obj, **asked).targets[0]


def outcomes(report: TargetReport) -> dict[str, str]:
    return {clause: report.clause(clause).outcome for clause in RELATIONS}


# ---- right layers
RIGHT = {**TARGETS, **{layer.target: layer.dialect for layer in RIGHT_LAYERS}}


@pytest.mark.parametrize("target", RIGHT)
def test_right_layers_keep_every_relation(target: str) -> None:
    """Those of users in both dtypes at each seed, those of the museum in turn."""
    for seed in range(5 if target in TARGETS else 2):
        dtypes = [] if target in TARGETS else [("float64", "float32")[seed % 2]]
        report = judge(target, dialect=RIGHT[target], seed=seed, dtypes=dtypes)
        assert report.verdict == "conforms", report
        assert set(outcomes(report).values()) <= {"pass", "skip"}


def test_every_relation_is_judged_on_a_layer_that_offers_everything() -> None:
    assert outcomes(judge("bnspec.mutants.torch_base:BatchNorm")) == dict.fromkeys(RELATIONS, "pass")


# ---- wrong layers
@pytest.mark.parametrize(
    ("clause", "mutant"),
    [(clause, mutant) for mutant in MUTANTS for clause in mutant.clauses if clause in RELATIONS],
    ids=lambda value: value if isinstance(value, str) else value.id,
)
def test_each_clause_refuses_its_wrong_layers_by_itself(clause: str, mutant: Mutant) -> None:
    report = judge(mutant.target, clause, dialect=mutant.dialect, fail_fast=True)
    assert report.clause(clause).outcome == "fail"


class SumsInAnyOrder(torch.nn.BatchNorm1d):
    """As with atomic additions: right within rounding, and never the same twice."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # torch's name
        order = torch.randperm(len(input))
        return super().forward(input[order] * (1 + 1e-7 * torch.rand(1)).to(input))[order.argsort()]


def test_f12_refuses_what_rounding_bounds_allow() -> None:
    report = judge(SumsInAnyOrder, "F1", "F12", dtypes=["float32"])
    assert report.clause("F1").outcome == "pass"
    assert report.clause("F12").outcome == "fail"
    assert "bit for bit" in (report.clause("F12").why or "")


# ---- what is meaningless is skipped, and nothing else
@pytest.mark.parametrize(
    ("options", "skipped"),
    [
        ({}, []),
        ({"arguments": {"eps": 0.01}}, ["E7"]),
        ({"arguments": {"momentum": 0.3}}, ["E6"]),
        ({"arguments": {"momentum": None}}, []),
        ({"dtypes": ["float32"]}, ["G12"]),
        ({"without": ["gradients"]}, ["G11", "G12"]),
        ({"without": ["affine"]}, []),
        ({"without": ["running_statistics"]}, ["E6", "E7"]),
    ],
    ids=str,
)
def test_what_has_no_meaning_is_skipped(options: dict[str, Any], skipped: list[str]) -> None:
    report = judge(torch.nn.BatchNorm1d, **options)
    assert report.verdict == "conforms"
    assert [clause for clause, outcome in outcomes(report).items() if outcome == "skip"] == skipped


def test_one_rank_one_channel_and_the_unbiased_variance_are_no_failures() -> None:
    assert outcomes(judge(torch.nn.BatchNorm2d))["F6"] == "skip"
    assert outcomes(judge(torch.nn.BatchNorm1d(1)))["F5"] == "skip"
    assert outcomes(judge("reference:torch"))["F9"] == "skip"


def test_a_dtype_that_decides_nothing_is_refused_in_words() -> None:
    with pytest.raises(UsageError, match="what clause G12 needs: another dtype"):
        judge(torch.nn.BatchNorm1d, "G12", dtypes=["float32"])


class Debiased(BatchNorm):
    """hidden/(1 - rho**k) with rho for momentum, as a blend of its own weight; the biased variance is stored."""

    batches = 0

    def stored_variance(self, var: Any, m: int) -> Any:
        return var

    def blend(self, running: Any, value: Any) -> Any:
        weight = (1 - self.momentum) / (1 - self.momentum ** (self.batches // 2 + 1))
        self.batches += 1  # twice a batch: the mean, then the variance
        return ((1 - weight) * running + weight * value).astype(running.dtype)


class DebiasedUnbiased(Debiased):
    stored_variance = BatchNorm.stored_variance


def test_full_weight_is_found_whatever_momentum_weighs() -> None:
    old = "bnspec.mutants.torch_functions:momentum_weighs_old"
    assert outcomes(judge(old, "E6", dialect="chainer"))["E6"] == "pass"
    assert outcomes(judge(old, "E6", dialect="torch"))["E6"] == "fail"
    assert outcomes(judge(Debiased, "E6", dialect="haiku"))["E6"] == "pass"
    assert outcomes(judge(DebiasedUnbiased, "E6", dialect="haiku"))["E6"] == "fail"


# ---- each judge can fail, in everything that it compares
def stage_of(experiment: str, dtype: str = "float64", **decisions: Any) -> Stage:
    subject = make_subject(load_target("bnspec.mutants.torch_base:BatchNorm").obj, Request(), {})[0]
    case = Case(experiment, dtype, (4, 3, 3), **{"eps": 0.1, "momentum": 0.3, **decisions})
    return Stage(subject, case, "cpu")


def spoil(played: Played, quantity: str) -> Played:
    """The pass with one of its answers a millionth off in the last channel that has a gamma."""

    def off(values: Any, axis: int) -> Any:
        values = values.copy()
        values[(slice(None),) * axis] *= 1 + 1e-6
        return values

    if quantity == "y":
        return replace(played, y=Attempt(off(played.y.get(), 1)))
    if quantity.startswith("running"):
        state = played.after_forward.get()
        return replace(played, after_forward=Attempt(replace(state, **{quantity: off(getattr(state, quantity), 0)})))
    found = played.gradients.get()
    name = quantity.removeprefix("d")
    return replace(played, gradients=Attempt(replace(found, **{name: off(getattr(found, name), 0)})))


EVERYTHING = ("y", "running_mean", "running_var", "dx", "dgamma", "dbeta")


def judge_relations(clause: str, record: RelationsRecord) -> Judgement:
    judged: Judgement = getattr(relations, f"judge_{clause.lower()}")(record)
    return judged


@pytest.mark.parametrize("quantity", EVERYTHING)
@pytest.mark.parametrize(
    ("clause", "part"), [("F4", "permuted"), ("F5", "others"), ("F5", "rolled"), ("F6", "reshaped"), ("F12", "again")]
)
def test_a_twin_that_is_off_is_seen(clause: str, part: str, quantity: str) -> None:
    record = act_relations(stage_of("relations"))
    assert not judge_relations(clause, record).failed
    twin = getattr(record, part)
    spoiled = spoil(twin, quantity) if part == "again" else replace(twin, played=spoil(twin.played, quantity))
    judged = judge_relations(clause, replace(record, **{part: spoiled}))
    assert judged.failed
    assert judged.quantity.startswith(quantity)


def test_f3_and_f9_see_an_output_that_is_off() -> None:
    record = act_relations(stage_of("relations"))
    scaled, doubled = record.scaled, record.doubled
    assert scaled is not None
    assert doubled is not None
    assert not judge_relations("F3", record).failed
    assert not judge_relations("F9", record).failed
    assert judge_relations("F3", replace(record, scaled=replace(scaled, played=spoil(scaled.played, "y")))).failed
    assert judge_relations("F3", replace(record, scaled=replace(scaled, sign=-scaled.sign))).failed
    assert judge_relations("F9", replace(record, doubled=spoil(doubled, "y"))).failed


def test_e6_and_e7_see_an_output_that_is_off() -> None:
    record = act_exchanges(stage_of("exchanges"))
    learned = record.learned
    assert not evaluation.judge_e6(record).failed
    assert not evaluation.judge_e7(record).failed
    spoiled = replace(learned, evaluated=spoil(learned.evaluated, "y"))
    assert evaluation.judge_e6(replace(record, learned=spoiled)).failed
    one, other = record.exchanged
    assert evaluation.judge_e7(replace(record, exchanged=(one, replace(other, played=spoil(other.played, "y"))))).failed


@pytest.mark.parametrize("part", ["plain", "scaled"])
def test_g11_sees_a_dz_that_is_off_at_either_scale(part: str) -> None:
    record = act_weights(stage_of("weights"))
    assert not differences.judge_g11(record).failed
    passed = getattr(record, part)
    spoiled = replace(record, **{part: replace(passed, played=spoil(passed.played, "dx"))})
    assert differences.judge_g11(spoiled).failed


@pytest.mark.parametrize("quantity", ["dx", "dgamma", "dbeta"])
def test_g12_sees_a_gradient_that_is_off(quantity: str) -> None:
    record = act_differences(stage_of("differences"))
    judged = differences.judge_g12(record)
    assert judged.informative
    assert not judged.failed
    spoiled = replace(record, base=replace(record.base, played=spoil(record.base.played, quantity)))
    assert differences.judge_g12(spoiled).failed


# ---- what they stand on
@pytest.mark.parametrize("dtype", FORMATS)
def test_the_grid_makes_scale_and_offset_exact(dtype: str) -> None:
    random, storage = np.random.RandomState(0), FORMATS[dtype]
    wild = random.standard_normal((40, 9)) * 10.0 ** random.uniform(-6, 4, (40, 1)) + random.uniform(-4, 4, (40, 1))
    x = cast(wild.clip(-6e4, 6e4), as_dtype(dtype)).astype(np.float64)
    grid, quantum = put_on_grid(x, storage)
    steps = draw_steps(random, storage, 40)
    assert (steps != 0).any()
    assert (np.abs(grid - x) <= np.maximum(quantum / 2, np.abs(x) - 2.0 ** (storage.emax - 5))).all()
    for c in (0.125, 0.5, 1.0, 8.0):
        for values in (grid, c * (grid + steps * quantum), c * (steps * quantum - grid)):
            assert (cast(values, as_dtype(dtype)).astype(np.float64) == values).all()
        exact = Fraction(c) * (Fraction(grid[0, 0]) + Fraction(steps[0, 0]) * Fraction(quantum[0, 0]))
        assert Fraction(c * (grid + steps * quantum)[0, 0]) == exact


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize("eps", [1e-5, 1e-3, 0.1, 1.0])
def test_variance_and_eps_are_exchanged_exactly(dtype: str, eps: float) -> None:
    one, other = act_exchanges(stage_of("exchanges", dtype, eps=eps)).exchanged
    sums = [
        [Fraction(float(v)) + Fraction(each.eps) for v in each.start.running_var.astype(float)] for each in (one, other)
    ]
    assert sums[0] == sums[1]
    assert one.eps > other.eps > 0
    assert all(float(cast(each.eps, as_dtype("float32"))) == each.eps for each in (one, other))


@pytest.mark.parametrize("dtype", FORMATS)
def test_a_linear_map_before_the_layer_is_exact(dtype: str) -> None:
    record = act_weights(stage_of("weights", dtype))
    for passed in (record.plain, record.scaled):
        z = [[sum(Fraction(w) * Fraction(u) for w, u in zip(row, column, strict=True)) for column in record.inputs.T]
             for row in passed.weights]  # fmt: skip
        assert channel_major(passed.z).astype(np.float64).tolist() == z
    assert (record.scaled.weights == record.c * record.plain.weights).all()


@pytest.mark.parametrize("k", ["biased", "unbiased"])
def test_the_truncation_of_a_difference_is_within_its_bound(k: str) -> None:
    """Few values, steps up to the deviation, upstream gradients along the worst of them: never beyond, not far off."""
    arithmetic = quad()
    if arithmetic is None:
        pytest.skip("binary128 is not installed")
    a, random, shares = arithmetic, np.random.RandomState(3), []
    for count in (2, 3, 5, 17):
        x, step, dy = (random.standard_normal((400, count)) for _ in range(3))
        step *= 10.0 ** random.uniform(-3, 0, (400, 1))
        dy = np.where(random.rand(400, 1) < 0.5, dy, step)
        eps, divisor = 10.0 ** random.uniform(-4, 0), count if k == "biased" else count - 1
        gamma = a.array(np.ones(400))

        def loss(values: Any) -> Any:
            d = values - (values.sum(axis=1) / count)[:, None]  # noqa: B023  # called in this turn
            r = a.array(np.ones(400)) / a.sqrt((d * d).sum(axis=1) / divisor + a.array(np.asarray(eps)))  # noqa: B023  # called in this turn
            return (a.array(dy) * d * r[:, None]).sum(axis=1) * gamma, d, r  # noqa: B023  # called in this turn

        difference = loss(a.array(x) + a.array(step))[0] - loss(a.array(x) - a.array(step))[0]
        _, d, r = loss(a.array(x))
        xhat = d * r[:, None]
        along = (a.array(dy) * xhat).sum(axis=1)
        dx = (a.array(dy) - (a.array(dy).sum(axis=1) / count)[:, None] - xhat * (along / divisor)[:, None]) * r[:, None]
        error = np.abs(a.float64(difference - 2 * (dx * a.array(step)).sum(axis=1)))
        var = a.float64((d * d).sum(axis=1) / divisor)
        bound = bound_truncation(step, dy, np.ones(400), var, eps, divisor)
        shares.append(error / bound)
    worst = float(np.max(shares))
    assert worst <= 1.0
    assert worst > 0.05


def test_the_bound_of_the_truncation_is_that_of_the_page() -> None:
    """A step within the deviation and one beyond it, K unlike m, gamma of either sign, by the formula of G12."""
    step, dy = np.array([[0.1, -0.3, 0.2], [2.0, -1.0, 5.0]]), np.array([[1.0, 2.0, 4.0], [0.5, -0.25, 8.0]])
    gamma, var, eps, k = (-0.7, 1.3), (0.5, 0.25), 0.01, 2
    wanted = []
    for p, g, scale, v in zip(step.tolist(), dy.tolist(), gamma, var, strict=True):
        mean_p, mean_g = math.fsum(p) / 3, math.fsum(g) / 3
        c = math.fsum((each - mean_p) ** 2 for each in p) / k
        spread = math.fsum((each - mean_g) ** 2 for each in g)
        left = max(math.sqrt(v) - math.sqrt(c), 0)
        wanted.append(4 * abs(scale) * math.sqrt(spread * k) * (c / (left * left + eps)) ** 1.5)
    got = bound_truncation(step, dy, np.array(gamma), np.array(var), eps, k)
    np.testing.assert_allclose(got, wanted, rtol=1e-12)


def test_the_relations_are_active_and_say_what_bounds_them() -> None:
    for clause in RELATIONS:
        assert CLAUSES[clause].status == "active"
        assert "relations" in CLAUSES[clause].bound or CLAUSES[clause].bound == "bit for bit"


def test_what_only_the_experiment_of_a_clause_asks_for_is_named() -> None:
    haiku = DIALECTS["haiku"]
    with pytest.raises(UsageError, match="what clause S2 needs: loadable"):
        bnspec.certify(speak(haiku), dialect="haiku", profile="smoke", clauses=("S2",))
