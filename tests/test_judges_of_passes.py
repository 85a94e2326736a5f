"""Judges of one training pass, each on a right record and on records of which one thing is spoilt."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from bnspec.conformance.acting import Attempt, Stage
from bnspec.conformance.compare import Array, Judgement
from bnspec.conformance.experiments.training import TrainingRecord, act_training
from bnspec.conformance.experiments.unscaled import UnscaledRecord, act_unscaled
from bnspec.conformance.judges import consequences, constructions, coverage

from bnspec.api import make_subject
from bnspec.cases.case import Case
from bnspec.engine.plan import Request
from bnspec.layers.protocol import Gradients
from bnspec.layers.target import load_target

CASE = Case("training", "float32", (6, 4, 5), 0.1, 0.3, seed=1)
OUTLIER = replace(CASE, shape=(2, 4))

Spoil = Callable[[Array], Array]


@cache
def record_of(case: Case) -> TrainingRecord:
    subject, _ = make_subject(load_target("reference:numpy").obj, Request(), {})
    return act_training(Stage(subject, case, "cpu"))


def spoil_y(record: TrainingRecord, change: Spoil) -> TrainingRecord:
    y = record.played.y.get()
    return replace(record, played=replace(record.played, y=Attempt(change(y).astype(y.dtype))))


def spoil_gradient(record: TrainingRecord, name: str, change: Spoil) -> TrainingRecord:
    gradients = record.played.gradients.get()
    value = getattr(gradients, name)
    spoilt: Gradients = replace(gradients, **{name: change(value).astype(value.dtype)})
    return replace(record, played=replace(record.played, gradients=Attempt(spoilt)))


def spoil_running_var(record: TrainingRecord, change: Spoil) -> TrainingRecord:
    state = record.played.after_forward.get()
    assert state.running_var is not None
    spoilt = replace(state, running_var=change(state.running_var).astype(state.running_var.dtype))
    return replace(record, played=replace(record.played, after_forward=Attempt(spoilt)))


def over_channels(record: TrainingRecord, values: object) -> Array:
    """(C,) in the shape in which it spreads over x."""
    return np.asarray(values).reshape(1, -1, *[1] * (len(record.batch.x.shape) - 2))


def bend(record: TrainingRecord) -> Spoil:
    """A cubic of y that leaves its mean and its width nearly alone: the shape changes."""
    assert record.start.beta is not None
    beta = over_channels(record, record.start.beta)
    return lambda y: y + 0.05 * (y - beta) * np.tanh(y - beta) ** 2


SPOILT: list[tuple[str, Callable[[TrainingRecord], Judgement], Callable[[TrainingRecord], TrainingRecord]]] = [
    ("F2: mean", consequences.judge_f2, lambda r: spoil_y(r, lambda y: y + 1e-4 * np.abs(y).max())),
    ("F2: width", consequences.judge_f2, lambda r: spoil_y(r, lambda y: y * 1.001)),
    ("F10: shape", consequences.judge_f10, lambda r: spoil_y(r, bend(r))),
    ("G3: sum", consequences.judge_g3, lambda r: spoil_gradient(r, "x", lambda dx: dx + 1e-3 * np.abs(dx).max())),
    ("G3: along xhat", consequences.judge_g3, lambda r: spoil_gradient(r, "x", lambda dx: dx + 1e-3 * r.batch.x)),
    ("G5: length", consequences.judge_g5, lambda r: spoil_gradient(r, "x", lambda dx: dx * 1.001)),
    ("N2: y", coverage.judge_n2, lambda r: spoil_y(r, lambda y: np.where(y == y.max(), np.nan, y))),
    ("N2: running_var", coverage.judge_n2, lambda r: spoil_running_var(r, lambda v: v + np.inf)),
    ("N2: dgamma", coverage.judge_n2, lambda r: spoil_gradient(r, "gamma", lambda d: d + np.nan)),
    ("R10: eps", coverage.judge_r10, lambda r: spoil_running_var(r, lambda v: v + 0.3 * 0.1)),
]  # fmt: skip


@pytest.mark.parametrize(("judge", "spoil"), [row[1:] for row in SPOILT], ids=[row[0] for row in SPOILT])
def test_a_judge_refuses_what_is_spoilt_and_nothing_else(
    judge: Callable[[TrainingRecord], Judgement], spoil: Callable[[TrainingRecord], TrainingRecord]
) -> None:
    right = judge(record_of(CASE))
    assert right.ratio is not None
    assert right.ratio <= 1
    assert right.informative
    assert judge(spoil(record_of(CASE))).failed


def test_f11_refuses_an_outlier_that_reaches_too_far_or_not_far_enough() -> None:
    record = record_of(OUTLIER)
    right = consequences.judge_f11(record)
    assert right.informative
    assert not right.failed
    assert record.start.beta is not None
    beta = over_channels(record, record.start.beta)
    for factor in (1.01, 0.99):
        assert consequences.judge_f11(spoil_y(record, lambda y, f=factor: beta + (y - beta) * f)).failed  # type: ignore[misc]  # a default binds it


def with_gamma(values: list[float]) -> TrainingRecord:
    """A right record whose first channels have these gammas, by another pass of the same layer."""
    record = record_of(CASE)
    assert record.start.gamma is not None
    gamma = record.start.gamma.copy()
    gamma[: len(values)] = values
    subject = record.stage.subject
    layer = subject.make_layer(CASE, "cpu")
    start = replace(record.start, gamma=gamma)
    layer.load(start)
    passed = layer.run(record.batch.x, training=True, grad=record.stage.grad)
    gradients = passed.backward(record.batch.dy)
    return replace(record, start=start, played=replace(record.played, gradients=Attempt(gradients)))


def test_g9_looks_at_channels_of_gamma_zero_and_below_alone() -> None:
    record = with_gamma([0.0, -0.5, 1.0, 2.0])
    assert coverage.judge_g9(record).informative
    assert not coverage.judge_g9(record).failed
    for channel, refused in ((0, True), (1, True), (2, False), (3, False)):
        for name in ("gamma", "beta"):
            spoilt = spoil_gradient(record, name, lambda d, c=channel: d + (np.arange(4) == c))  # type: ignore[misc]  # a default binds it
            assert coverage.judge_g9(spoilt).failed is refused
        at = over_channels(record, np.arange(4) == channel)
        assert coverage.judge_g9(spoil_gradient(record, "x", lambda dx, at=at: dx + at)).failed is refused  # type: ignore[misc]  # a default binds it
    assert coverage.judge_g9(with_gamma([1.0, 1.0, 1.0, 1.0])).ratio is None


@pytest.mark.parametrize(
    ("belongs", "members", "others"),
    [
        (
            coverage.is_laid_out,
            [{"layout": "transposed"}, {"layout": "strided", "shape": (6, 1, 5)}],
            [{}, {"layout": "transposed", "shape": (6, 1, 5)}, {"layout": "strided", "shape": (1, 1, 5)}],
        ),
        (
            coverage.is_channels_last,
            [{"layout": "channels_last", "shape": (6, 4, 5, 2)}],
            [{"layout": "channels_last"}],
        ),
        (
            coverage.is_coincidence,
            [{"shape": s} for s in ((6, 1, 5), (1, 4, 5), (4, 4, 5), (6, 5, 5), (6, 4, 5))],
            [{"shape": (6, 4, 6)}],
        ),
        (coverage.is_large, [{"shape": (31, 4)}, {"shape": (6, 31)}], [{"shape": (6, 4, 5)}]),
    ],
)
def test_kinds_of_batches(
    belongs: Callable[[Case], bool], members: list[dict[str, object]], others: list[dict[str, object]]
) -> None:
    assert all(belongs(replace(CASE, **changes)) for changes in members)  # type: ignore[arg-type]  # field names
    assert not any(belongs(replace(CASE, **changes)) for changes in others)  # type: ignore[arg-type]  # field names


def test_a_clause_of_one_kind_of_batch_says_nothing_of_others() -> None:
    judge = coverage.where(lambda case: case.count > 30)
    assert judge(record_of(CASE)).ratio is None
    assert judge(record_of(replace(CASE, shape=(31, 4)))).ratio is not None


def test_the_whole_pass_is_judged_for_them() -> None:
    record = record_of(CASE)
    assert not coverage.judge_pass(record).failed
    assert coverage.judge_pass(spoil_y(record, lambda y: y * 1.001)).failed
    assert coverage.judge_pass(spoil_running_var(record, lambda v: v * 1.001)).failed
    for name in ("x", "gamma", "beta"):
        assert coverage.judge_pass(spoil_gradient(record, name, lambda d: d * 1.001)).failed


# Layers without parameters


@cache
def unscaled() -> UnscaledRecord:
    subject, _ = make_subject(load_target("torch.nn:BatchNorm1d").obj, Request(), {})
    return act_unscaled(Stage(subject, replace(CASE, experiment="unscaled"), "cpu"))


def test_layers_without_parameters_are_judged_by_each_quantity() -> None:
    record = unscaled()
    judges = (
        constructions.judge_f1_unscaled, constructions.judge_r2_unscaled, constructions.judge_e1_unscaled,
        constructions.judge_g1_unscaled, constructions.judge_g2_unscaled,
    )  # fmt: skip
    assert all(judge(record).informative and not judge(record).failed for judge in judges)

    y = record.trained.y.get()
    off = replace(record, trained=replace(record.trained, y=Attempt(y * np.float32(1.001))))
    assert [judge(off).failed for judge in judges] == [True, False, False, False, False]
    assert record.silent.y.get() is not None
    off = replace(record, silent=replace(record.silent, y=Attempt(y * np.float32(1.001))))
    assert [judge(off).failed for judge in judges] == [True, False, False, False, False]

    dx = record.trained.gradients.get()
    assert dx.x is not None
    spoilt = Attempt(replace(dx, x=dx.x + np.float32(1e-3)))
    off = replace(record, trained=replace(record.trained, gradients=spoilt))
    assert [judge(off).failed for judge in judges] == [False, False, False, True, False]
