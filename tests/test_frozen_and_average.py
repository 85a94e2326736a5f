"""Layers whose conventions leave something out: frozen ones, and those fixed at the plain average."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import nn

import bnspec
from bnspec.api import make_subject
from bnspec.certificate.model import TargetReport
from bnspec.engine.blocks import Block, literal_cases
from bnspec.engine.plan import Request, UsageError
from bnspec.identification.identity import identify
from bnspec.layers.promises import MOMENTA
from bnspec.layers.target import load_target

LAYERS = Path(__file__).parent / "targets/frozen_layers.py"


def layer(name: str) -> Any:
    return load_target(f"{LAYERS}:{name}").obj


def judge(obj: Any, **options: Any) -> TargetReport:
    return bnspec.certify(obj, **{"profile": "smoke", "dtypes": ["float32"], **options}).targets[0]


def failed(report: TargetReport) -> set[str]:
    return {clause.id for clause in report.clauses if clause.outcome in ("fail", "crashed")}


def test_a_frozen_layer_conforms_and_says_what_cannot_be_asked_of_it() -> None:
    report = judge(layer("Frozen"))
    assert report.verdict == "conforms"
    skipped = {clause.id for clause in report.clauses if clause.outcome == "skip"}
    assert {
        "F2",
        "F3",
        "F6",
        "F13",
        "R4",
        "R12",
        "E6",
        "G11",
        "G12",
    } <= skipped  # it has one rank and no batch statistics


@pytest.mark.parametrize("arguments", [{}, {"eps": 1e-5}], ids=["eps", "its own eps"])
def test_an_initial_variance_may_be_formed_of_eps(arguments: dict[str, float]) -> None:
    report = judge(layer("FreshIsIdentity"), dtypes=["float32", "float64"], arguments=arguments)
    assert report.verdict == "conforms"
    assert identify(layer("FreshIsIdentity"), arguments=arguments).nearest.names == ("detectron2-frozen",)
    assert failed(judge(layer("NearlyIdentity"))) == {"R1"}


def test_a_frozen_layer_that_moves_or_forgets_eps_is_refused() -> None:
    assert "R2" in failed(judge(layer("Drifts")))
    assert {"F1", "E1", "G1", "G2"} <= failed(judge(layer("WithoutEps")))


def test_frozen_and_training_layers_are_told_apart() -> None:
    assert "--dialect torch" in judge(nn.BatchNorm2d, dialect="timm-frozen").notes[0]
    assert "--dialect timm-frozen" in judge(layer("DeclaresMomentum"), dialect="torch").notes[0]


def test_a_frozen_layer_has_no_momentum_that_another_dialect_could_weigh() -> None:
    with pytest.raises(UsageError, match=r"takes no momentum.*bnspec_momentum"):
        judge(layer("Frozen"), dialect="torch")


def test_the_plain_average_alone_is_judged() -> None:
    report = judge(nn.BatchNorm1d, arguments={"momentum": None})
    assert report.verdict == "conforms"
    assert report.scope["momentum"] == "average"
    assert report.clause("R4").outcome == "pass"
    assert {"R2", "R3", "R4"} <= failed(judge(layer("CountsTwice")))


def test_a_dialect_without_the_plain_average_refuses_it() -> None:
    with pytest.raises(UsageError, match="momentum is fixed at None, and dialect 'mlx' has no plain average"):
        judge(nn.BatchNorm1d(3, momentum=None), dialect="mlx")


def test_who_takes_what_its_dialect_refuses_is_held_to_the_plain_average() -> None:
    report = judge("reference:torch", clauses=["R4"])
    assert report.dialect == "makemore"
    assert report.clause("R4").outcome == "pass"


@pytest.mark.parametrize("eps", [0.0, 1e-40, 1e35])
def test_an_eps_out_of_range_is_refused(eps: float) -> None:
    with pytest.raises(UsageError, match="eps"):
        judge(nn.BatchNorm1d, arguments={"eps": eps})


@pytest.mark.parametrize("eps", [2e-38, 5e28])
def test_the_ends_of_the_range_of_eps_are_judged(eps: float) -> None:
    assert judge(nn.BatchNorm1d, arguments={"eps": eps}).verdict == "conforms"


def test_a_wide_format_takes_a_wider_range() -> None:
    assert judge(nn.BatchNorm1d, arguments={"eps": 1e-60}, dtypes=["float64"]).verdict == "conforms"


@pytest.mark.parametrize(("dialect", "idle"), [("haiku", 1.0), ("flax", None)])
def test_a_debiased_average_is_not_asked_for_batches_without_weight(dialect: str, idle: float | None) -> None:
    """Its divisor is 1 - rho**k; a plain average is asked for every weight."""
    unusual = Path(__file__).parent / "targets/unusual_layers.py"
    subject, _ = make_subject(load_target(f"{unusual}:Debiased").obj, Request(dialect), {})
    assert set(MOMENTA) - set(subject.scope_of(0).momenta) == ({idle} if idle is not None else set())
    literal = [case for block in (0, 1) for case in literal_cases(subject, Block("variants", "float64", "cpu", block))]
    assert literal
    assert idle not in {case.momentum for case in literal}
