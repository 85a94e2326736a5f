"""Second order and forward mode: exact values, questions that raise where nothing is offered, judges, and bounds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from bnspec.conformance.acting import Attempt, Stage
from bnspec.conformance.experiments.second_order import DerivativeRecord, act_forward_mode, act_second_order
from bnspec.conformance.judges.second_order import judge_g10, judge_g13
from torch import Tensor

import bnspec
from bnspec.api import make_subject
from bnspec.cases.case import Case
from bnspec.certificate.model import ClauseReport
from bnspec.engine.plan import Request, UsageError
from bnspec.mutants.torch_base import BatchNorm, HandBackward
from bnspec.mutants.torch_second_order import (
    DoubleBackward,
    RecomputedBackward,
    TangentOfGammaLost,
    Tangents,
    Three,
    know,
)
from bnspec.spec.equations import (
    Cotangents,
    Normalised,
    differentiate_evaluation,
    differentiate_training,
    normalise,
    take_moments,
)
from bnspec.spec.formats import FLOAT64
from bnspec.spec.precision import arithmetic_for
from bnspec.spec.second_order import Directions, differentiate_twice
from tests.bounds.second_order import find_ratios

CASE = Case("second_order", "float64", (4, 3, 2), 0.1, 0.3, seed=1)
FORWARD: Any = torch.autograd.forward_ad
MODES = pytest.mark.parametrize("training", [True, False])


# Exact values


@pytest.mark.parametrize("k", [5, 4, None], ids=["biased", "unbiased", "evaluation"])
def test_the_formulas_are_central_differences_of_the_first_order(k: int | None) -> None:
    """In more than 100 bits and with steps of 1e-10 the difference quotient is right to 20 digits."""
    a, draw = arithmetic_for(FLOAT64), np.random.default_rng(0)
    x, g, u = (draw.normal(size=(2, 5)) + 1 for _ in range(3))
    gamma, beta, by_gamma, by_beta, mean, var = (draw.uniform(0.5, 2, 2) for _ in range(6))
    step, eps = a.array(np.asarray(1e-10)), a.array(np.asarray(0.05))

    def run(t: float) -> tuple[Normalised, Cotangents]:
        moved, scale, shift = (a.array(v) + a.array(d) * step * a.array(np.asarray(t))
                               for v, d in ((x, u), (gamma, by_gamma), (beta, by_beta)))  # fmt: skip
        moments = take_moments(moved)
        used = (a.array(mean), a.array(var)) if k is None else (moments.mean, moments.var * 5 / k)
        forward = normalise(moved, scale, shift, *used, eps, a)
        if k is None:
            return forward, differentiate_evaluation(a.array(g), forward, scale)
        return forward, differentiate_training(a.array(g), forward, scale, k)

    (ahead, d_ahead), (behind, d_behind) = run(1.0), run(-1.0)
    along = Directions(a.array(u), a.array(by_gamma), a.array(by_beta))
    found = differentiate_twice(a.array(g), along, run(0.0)[0], a.array(gamma), k)
    for got, high, low in (
        (found.x, d_ahead.x, d_behind.x),
        (found.gamma, d_ahead.gamma, d_behind.gamma),
        (found.dy, ahead.y, behind.y),
    ):
        wanted = a.float64((high - low) / step) / 2
        assert np.abs(a.float64(got) - wanted).max() <= 1e-14 * np.abs(wanted).max()


# What is asked, and what a layer that cannot answer says


class XhatKept(DoubleBackward):
    """Keeps xhat as it came out: no second derivative by x can be had, and those by gamma and dy are right."""

    def answer(self, dy: Tensor, *saved: Any) -> Three:
        x, weight, mean, rstd, coupled = saved
        return self.first(dy, know(x.detach(), weight, mean, rstd, coupled))


class WrongByDy(XhatKept):
    """Answers to one question alone, wrongly."""

    def first(self, dy: Tensor, known: Any) -> Three:
        dx, dgamma, dbeta = super().first(dy, known)
        return dx.detach() + dy - dy.detach(), dgamma, dbeta


class TangentDropped(BatchNorm):
    """Leaves forward mode on the way."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        plain: Tensor = FORWARD.unpack_dual(y).primal
        return plain if self.training else y


@cache
def record_of(target: Any, training: bool = True, forward: bool = False, **changes: Any) -> DerivativeRecord:
    subject = make_subject(target, Request("torch"), {})[0]
    case = replace(CASE, training=training, **changes)
    return (act_forward_mode if forward else act_second_order)(Stage(subject, case, "cpu"))


def judge(obj: Any, clause: str, profile: str = "smoke", **options: Any) -> ClauseReport:
    return bnspec.certify(obj, dialect="torch", profile=profile, clauses=[clause], **options).targets[0].clause(clause)


@MODES
def test_a_right_record_asks_for_everything(training: bool) -> None:
    record = record_of(torch.nn.BatchNorm1d, training)
    asked = {(q.by, q.grad.x, q.grad.gamma, q.curved, q.zero) for q in record.questions}
    for curved in (True, False):
        assert {(by, True, True, curved, by == "beta" and not curved) for by in ("x", "gamma", "beta", "dy")} <= asked
    assert ("x", True, False, False, not training) in asked
    assert ("dy", False, True, False, False) in asked
    assert ("gamma", False, True, False, True) in asked
    assert judge_g10(record).informative
    assert not judge_g10(record).failed


@MODES
def test_what_can_be_differentiated_once_refuses_and_is_skipped(training: bool) -> None:
    record = record_of(HandBackward, training)
    assert all(q.answer.error is not None for q in record.questions if not q.zero)
    assert judge_g10(record).refused
    assert not judge_g10(record).informative


def test_a_clause_that_is_refused_throughout_is_skipped_and_not_incomplete() -> None:
    report = bnspec.certify(HandBackward, dialect="torch", profile="smoke", clauses=["G10", "G1"], dtypes=["float64"])
    clause = report.targets[0].clause("G10")
    assert report.conforms
    assert clause.outcome == "skip"
    assert "raises where it is asked" in str(clause.why)


def test_intermediates_that_were_kept_count_as_not_offered_and_the_rest_is_judged() -> None:
    record = record_of(XhatKept)
    refused = {q.by for q in record.questions if q.answer.error is not None}
    assert refused == {"x"}
    assert "appears to not have been used" in str(next(q for q in record.questions if q.by == "x").answer.error)
    assert judge_g10(record).informative
    assert not judge_g10(record).failed
    assert judge_g10(record_of(WrongByDy)).failed


@pytest.mark.parametrize("target", [DoubleBackward, RecomputedBackward])
def test_right_ones_pass(target: Any) -> None:
    assert judge(target, "G10").outcome == "pass"


# Judges


@MODES
@pytest.mark.parametrize("curved", [False, True])
@pytest.mark.parametrize("by", ["x", "gamma", "beta", "dy"])
def test_the_judge_of_second_order_refuses_what_is_spoilt(by: str, curved: bool, training: bool) -> None:
    record = record_of(torch.nn.BatchNorm1d, training)
    place = next(i for i, q in enumerate(record.questions) if (q.by, q.curved) == (by, curved))
    question = record.questions[place]
    answer = question.answer.get()
    spoilt = np.ones(3) if answer is None else answer + 1e-6 * (1 + np.abs(answer).max())
    for wrong in (spoilt, *([] if question.zero else [None])):
        changed = replace(question, answer=Attempt(wrong))
        off = replace(record, questions=(*record.questions[:place], changed, *record.questions[place + 1 :]))
        assert judge_g10(off).failed
        assert f"by {by}" in judge_g10(off).quantity


@MODES
def test_the_judge_of_forward_mode_refuses_what_is_spoilt(training: bool) -> None:
    record = record_of(BatchNorm, training, forward=True)
    assert len(record.pushes) == 4
    assert judge_g13(record).informative
    assert not judge_g13(record).failed
    for place, push in enumerate(record.pushes):
        y, moved = push.answer.get()
        assert moved is not None
        changed = replace(push, answer=Attempt((y, moved * 1.000001 + 1e-6)))
        off = replace(record, pushes=(*record.pushes[:place], changed, *record.pushes[place + 1 :]))
        assert judge_g13(off).failed


def test_forward_mode_that_raises_or_gives_nothing_is_not_offered_and_a_tangent_in_part_is_wrong() -> None:
    assert judge_g13(record_of(DoubleBackward, forward=True)).refused
    assert judge_g13(record_of(TangentDropped, forward=True)).refused
    assert judge_g13(record_of(TangentOfGammaLost, forward=True)).failed
    assert not judge_g13(record_of(Tangents, forward=True)).failed
    assert judge_g10(record_of(Tangents)).refused


def test_tangents_leave_nothing_in_the_layer() -> None:
    layer = make_subject(BatchNorm, Request("torch"), {})[0].make_layer(CASE, "cpu")
    record = record_of(BatchNorm, forward=True)
    layer.load(record.start)
    layer.push_forward(record.batch.x, record.pushes[0].along, training=True)  # type: ignore[attr-defined]  # an ability
    state = layer.state()
    assert state.gamma is not None
    assert record.start.gamma is not None
    assert np.array_equal(state.gamma, record.start.gamma)
    with FORWARD.dual_level():
        for name in ("weight", "bias", "running_mean", "running_var"):
            tensor = getattr(layer._holder, name)  # type: ignore[attr-defined]  # that of a torch layer
            assert FORWARD.unpack_dual(tensor).tangent is None


def test_forward_mode_is_judged_from_the_standard_profile_on() -> None:
    with pytest.raises(UsageError, match="a longer profile"):
        judge(BatchNorm, "G13")
    both = bnspec.certify(BatchNorm, dialect="torch", profile="smoke", clauses=["G13", "G4"], dtypes=["float64"])
    assert both.targets[0].clause("G13").why == "not judged in profile smoke"
    assert both.conforms


def test_without_gradients_neither_is_asked() -> None:
    offered = make_subject(BatchNorm, Request("torch", without=("gradients",)), {})[0].abilities
    assert not {"gradients", "second_order", "forward_mode"} & offered


# Bounds


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_right_ones_stay_within_the_bounds(precision: str) -> None:
    with np.errstate(all="ignore"):
        found = [each for turn in range(8) for each in find_ratios(precision, 3, turn, 12, longest=60)]
    beyond = [(name, by, ratio) for name, by, ratio, _ in found if not np.nanmax(ratio, initial=0.0) <= 1]
    assert beyond == []
    assert {by for _, by, _, _ in found} == {"x", "gamma", "dy"}
    told = [share for name, by, _, share in found if by == "x" and name == "plain"]
    assert np.mean(told) > 0.2
