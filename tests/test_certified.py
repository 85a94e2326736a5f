"""What the suite says of what is known: torch.nn, the references and the museum."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import Any

import pytest
import torch

import bnspec
from bnspec.api import make_subject
from bnspec.certificate.model import FAILED, ClauseReport
from bnspec.engine.plan import Request
from bnspec.layers.target import TargetError, load_target
from bnspec.mutants.record import Mutant, RightLayer
from bnspec.mutants.table import MUTANTS, RIGHT_LAYERS
from bnspec.mutants.torch_base import BatchNorm as TorchBatchNorm
from bnspec.reproduce.script import write_script
from bnspec.reproduce.trying import run_script
from bnspec.spec.clauses import CLAUSES

RIGHT: dict[str, tuple[str, str | None, dict[str, Any]]] = {
    "BatchNorm1d": ("torch.nn:BatchNorm1d", None, {}),
    "BatchNorm2d": ("torch.nn:BatchNorm2d", None, {}),
    "BatchNorm3d": ("torch.nn:BatchNorm3d", None, {}),
    "functional": ("torch.nn.functional:batch_norm", None, {}),
    "numpy": ("reference:numpy", "torch", {}),
    "torch": ("reference:torch", None, {}),
    "torch, biased": ("reference:torch", "torch", {"unbiased": False}),
}


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    x = torch.ones(1, requires_grad=True)
    torch.autograd.grad(x * 1, x, torch.ones(1))  # loads what each fork that runs a script would load again
    yield
    torch.set_num_threads(threads)


@pytest.mark.parametrize("name", RIGHT)
def test_right_ones_conform(name: str) -> None:
    target, dialect, arguments = RIGHT[name]
    certificate = bnspec.certify(
        load_target(target).obj, dialect=dialect, arguments=arguments, profile="smoke", target=target
    )
    assert certificate.conforms, str(certificate)
    report = certificate.targets[0]
    assert report.dialect == (dialect or ("makemore" if name == "torch" else "torch"))
    judged = {clause.id for clause in report.clauses if clause.outcome == "pass"}
    assert judged >= {"F1", "F2", "F7", "F8", "F13", "R2", "R3", "R5", "E1", "E2", "E3", "E4", "G1", "G2", "G6"}


def test_a_text_is_a_target_from_python_too() -> None:
    report = bnspec.certify("torch.nn:BatchNorm1d", profile="smoke", clauses=["F1"]).targets[0]
    assert (report.target, report.verdict) == ("torch.nn:BatchNorm1d", "conforms")
    with pytest.raises(TargetError, match="nowhere"):
        bnspec.certify("nowhere:BatchNorm1d")


@pytest.mark.parametrize(
    "layer",
    [torch.nn.BatchNorm1d(7), torch.nn.BatchNorm2d(64), torch.nn.BatchNorm3d(20), torch.nn.BatchNorm2d(1)],
    ids=repr,
)
def test_a_layer_that_is_given_ready_made_conforms(layer: torch.nn.Module) -> None:
    """Enough is judged of it, though it has as many channels in every case."""
    certificate = bnspec.certify(layer, profile="smoke")
    assert certificate.conforms, str(certificate)


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_a_layer_of_one_rank_conforms(rank: int) -> None:
    class OfOneRank(torch.nn.modules.batchnorm._BatchNorm):
        bnspec_ranks = (rank,)

        def _check_input_dim(self, input: torch.Tensor) -> None:  # noqa: A002  (torch's name)
            if input.ndim != rank:
                raise ValueError(f"rank {rank} alone")

    certificate = bnspec.certify(OfOneRank, profile="smoke")
    assert certificate.conforms, str(certificate)


@pytest.mark.parametrize(
    ("target", "clause"), [("torch.nn:BatchNorm1d", "G1"), ("torch.nn.functional:batch_norm", "G2")]
)
def test_what_is_left_out_is_not_asked_for_in_other_constructions(target: str, clause: str) -> None:
    report = bnspec.certify(target, without=["gamma"], profile="smoke", clauses=[clause]).targets[0]
    assert report.verdict == "conforms", report.clause(clause)


def test_a_wide_layer_that_is_given_ready_made_has_enough_layouts() -> None:
    certificate = bnspec.certify(torch.nn.BatchNorm2d(2048), profile="smoke", dtypes=["float64"], clauses=["L2"])
    assert certificate.conforms, str(certificate)


def test_a_process_without_gradients_refuses_no_layer() -> None:
    with torch.no_grad():
        certificate = bnspec.certify(torch.nn.BatchNorm1d, profile="smoke", clauses=["F1", "R2", "G1", "G8"])
    assert certificate.conforms, str(certificate)
    assert torch.is_grad_enabled()


def test_planned_clauses_are_never_shown_as_passed() -> None:
    report = bnspec.certify(torch.nn.BatchNorm1d, profile="smoke", clauses=["F1"]).targets[0]
    outcomes = {clause.outcome for clause in report.clauses if CLAUSES[clause.id].status == "planned"}
    assert outcomes == {"not-run"}


def test_the_seed_is_refused_for_its_defects() -> None:
    report = bnspec.certify(load_target("reference:seed").obj, profile="smoke").targets[0]
    assert report.dialect == "makemore"
    failed = {clause.id: clause.why or "" for clause in report.clauses if clause.outcome in ("fail", "crashed")}
    assert set(failed) == {"R1", "R8", "S2", "S5", "B1", "B2", "B8", "B10"}
    assert "shape of running_mean after a batch: got (1," in failed["R1"]
    assert "the graph of the pass" in failed["R8"]
    assert "deepcopy" in failed["S2"]
    assert "deepcopy" in failed["S5"]


def test_torch_under_another_dialect_is_told_which_it_follows() -> None:
    report = bnspec.certify(torch.nn.BatchNorm1d, dialect="makemore", profile="smoke").targets[0]
    assert report.verdict == "does not conform"
    assert len(report.notes) == 1
    assert "`normalises_with`" in report.notes[0]
    assert "--dialect torch" in report.notes[0]


WITHOUT_SCRIPT = {"welford-declared-two-pass": "N1 grades a sweep, and no number of one pass"}
"""Layers of which no script can be written, and why."""


def show_without_the_suite(mutant: Mutant, failed: ClauseReport) -> None:
    request = Request(dialect=mutant.dialect, profile=mutant.profile)
    subject, _ = make_subject(load_target(mutant.target).obj, request, {}, mutant.target)
    script = write_script(subject, mutant.target, failed.id, str(failed.case), "again")
    assert script is not None, f"no script for {failed.id}: {failed.why}"

    _, said = run_script(script)
    told = re.search(r"got \S+, wanted \S+ within \S+", failed.why or "")
    if told is not None and "this comes of it" not in script:
        assert told[0] in said, script
    assert "wanted" in said


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.id)
def test_wrong_ones_are_refused_at_their_profile(mutant: Mutant) -> None:
    """By the clauses that it names, in one dtype; where these are not reached so soon, by whichever of all.

    A script shows the first failure without the suite, by the numbers of the certificate.
    """
    target = load_target(mutant.target).obj
    strict = all(CLAUSES[clause].level == "SHOULD" for clause in mutant.clauses)
    certificate = None
    for clauses, dtypes in ((mutant.clauses, [d for d in ("float32", "float64") if d in mutant.dtypes][:1]), ((), [])):
        certificate = bnspec.certify(
            target,
            dialect=mutant.dialect,
            profile=mutant.profile,
            fail_fast=True,
            strict=strict,
            clauses=clauses,
            dtypes=dtypes,
        )
        if certificate.verdict == "does not conform":
            failed = [clause for clause in certificate.targets[0].clauses if clause.outcome in FAILED]
            for clause in failed[:1] if mutant.id not in WITHOUT_SCRIPT else ():
                show_without_the_suite(mutant, clause)
            return
    pytest.fail(f"{mutant.what_is_wrong}\n{certificate}")


@pytest.mark.parametrize("layer", RIGHT_LAYERS, ids=lambda layer: layer.id)
def test_right_ones_by_other_roads_are_not_refused(layer: RightLayer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each in one dtype and two ranks, in turn: `bnspec selftest` tries all."""
    turn = RIGHT_LAYERS.index(layer)
    target = load_target(layer.target).obj
    monkeypatch.setattr(target, "bnspec_ranks", (2, 3 + turn % 3), raising=False)
    certificate = bnspec.certify(
        target, dialect=layer.dialect, profile="smoke", dtypes=[("float32", "float64")[turn % 2]]
    )
    assert certificate.conforms, f"{layer.how}\n{certificate}"


def test_the_examples_are_what_they_say() -> None:
    path = Path(__file__).parents[1] / "examples/my_layers.py"
    assert bnspec.certify(load_target(f"{path}:FastBatchNorm").obj, profile="smoke").conforms
    report = bnspec.certify(load_target(f"{path}:BiasedBatchNorm").obj, profile="smoke").targets[0]
    failed = {clause.id for clause in report.clauses if clause.outcome == "fail"}
    assert failed >= {"R2", "R3", "R4", "R5", "R6", "R7", "E6", "S4", "L5"}, "all that R2 is a part of"
    assert "the biased variance were stored" in (report.clause("R2").looks or "")


def test_a_known_mistake_is_named() -> None:
    target = load_target("bnspec.mutants.torch_modules:EpsStored")
    why = bnspec.certify(target.obj, dialect="torch", profile="smoke", clauses=["R2"]).targets[0].clause("R2").looks
    assert why is not None
    assert "it looks as if eps had leaked into the stored variance" in why


UNUSUAL = Path(__file__).parent / "targets/unusual_layers.py"


@pytest.mark.parametrize(
    ("name", "judged"),
    [
        ("Columns", "L5"), ("UnregisteredBuffers", "R2"), ("Wrapper", "S2"), ("Debiased", "R3"),
        ("ShowsInnerTensors", "S1"), ("StackedBuffers", "L5"), ("DtypeByName", "N4"), ("SinglePrecisionAlone", "F1"),
        ("InferencePath", "E2"), ("HoldsALock", "S1"), ("NoHeedOfAffine", "S8"), ("MadeByTheFirstBatch", "R2"),
        ("ListsItsParameters", "G1"), ("positional_only", "G1"), ("ShapedByFirstBatch", "R3"),
    ],
)  # fmt: skip
def test_right_layers_of_unusual_make_are_not_refused(name: str, judged: str) -> None:
    certificate = bnspec.certify(load_target(f"{UNUSUAL}:{name}").obj, profile="smoke")
    assert certificate.conforms, str(certificate)
    assert certificate.targets[0].clause(judged).outcome == "pass"


@pytest.mark.parametrize("options", [{"bias": False}, {"affine": False}, {"dtype": torch.float32}])
def test_a_layer_without_some_of_it_or_of_a_fixed_dtype_is_judged_on_the_rest(options: dict[str, Any]) -> None:
    certificate = bnspec.certify(functools.partial(torch.nn.BatchNorm1d, **options), profile="smoke")
    assert certificate.conforms, str(certificate)
    if "bias" in options:
        assert certificate.targets[0].clause("G1").outcome == "pass"


class RootByLogarithm(TorchBatchNorm):
    """rstd = exp(-ln(v + eps)/2)."""

    def rstd(self, var: torch.Tensor) -> torch.Tensor:
        return torch.exp(-0.5 * torch.log(var + self.eps))


def test_a_root_by_logarithm_is_right_at_any_eps() -> None:
    for seed, eps in enumerate((1e-30, 1e-12, 1e-5)):
        certificate = bnspec.certify(
            RootByLogarithm, profile="smoke", seed=seed, arguments={"eps": eps}, dtypes=["float32"]
        )
        assert certificate.conforms, str(certificate)
