"""Family B, E5, L5 to L8: bad input and odd layouts, judged; and the calls that end their process."""

from __future__ import annotations

import ctypes
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from bnspec.conformance.experiments import bad_input
from bnspec.conformance.table import EXPERIMENTS

import bnspec
from bnspec.certificate.model import TargetReport
from bnspec.cli import main
from bnspec.engine import child
from bnspec.identification import edges
from bnspec.layers.target import load_target
from bnspec.mutants.numpy_base import Array
from bnspec.mutants.numpy_base import BatchNorm as NumPyBatchNorm
from bnspec.mutants.record import Mutant
from bnspec.mutants.table_inputs import INPUTS
from bnspec.mutants.torch_base import BatchNorm

BAD_INPUT = [*EXPERIMENTS["bad_input"].judges, "B6"]
CLAUSES = [*BAD_INPUT, "E5", "L5", "L6", "L7", "L8"]
RIGHT: tuple[tuple[str, str | None, dict[str, Any]], ...] = (
    ("torch.nn:BatchNorm1d", None, {}),
    ("torch.nn:BatchNorm2d", None, {}),
    ("torch.nn:BatchNorm3d", None, {}),
    ("torch.nn.functional:batch_norm", None, {}),
    ("reference:numpy", None, {}),
    ("reference:torch", None, {}),
    ("reference:torch", "torch", {"unbiased": False}),
)


def judge(obj: Any, clauses: list[str], **options: Any) -> TargetReport:
    return bnspec.certify(obj, **{"profile": "smoke", "clauses": clauses, "dialect": "torch", **options}).targets[0]


@pytest.mark.parametrize(("target", "dialect", "arguments"), RIGHT)
@pytest.mark.parametrize("seed", range(3))
def test_right_layers_pass(target: str, dialect: str | None, arguments: dict[str, Any], seed: int) -> None:
    report = judge(load_target(target).obj, CLAUSES, dialect=dialect, arguments=arguments, seed=seed)
    assert report.verdict == "conforms", report
    lacking = {clause.id for clause in report.clauses if clause.outcome in ("vacuous", "not-run")}
    assert lacking.isdisjoint(CLAUSES)
    own = target.startswith("torch.nn:")
    kernels = own or target.startswith("torch.nn.functional")
    failing = {clause.id for clause in report.clauses if clause.outcome == "fail"}
    assert failing == ({"B9"} if own else set()) | (failing & {"L8"} if kernels else set())


PAIRS = [(mutant, clause) for mutant in INPUTS for clause in mutant.clauses]


@pytest.mark.parametrize(("mutant", "clause"), PAIRS, ids=[f"{m.id}-{c}" for m, c in PAIRS])
def test_each_wrong_layer_is_refused_by_the_clause_alone(mutant: Mutant, clause: str) -> None:
    report = judge(load_target(mutant.target).obj, [clause], dialect=mutant.dialect)
    assert report.clause(clause).outcome == "fail"


def test_shipped_kernels_read_gamma_by_a_flat_pointer_in_their_backward() -> None:
    """Measured with torch 2.13.0: why L8 is SHOULD."""
    wide = torch.arange(1.0, 7.0)
    x, answers = torch.linspace(-1, 1, 195).reshape(65, 3).cos(), []
    for gamma in (wide[::2].clone(), wide[::2]):
        leaf, weight = x.clone().requires_grad_(), gamma.requires_grad_()
        y = torch.nn.functional.batch_norm(leaf, None, None, weight, None, True)
        answers.append(torch.autograd.grad(y.square().sum() + y.sin().sum(), leaf)[0])
    right = torch.allclose(answers[0], answers[1], atol=1e-4)
    assert right == (judge(torch.nn.BatchNorm1d, ["L8"], profile="standard").clause("L8").outcome == "pass")


class Ends(BatchNorm):
    """Does to one channel for several what a subclass says."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape[1:2] == (1,) and self.num_features > 1:
            self.end()
        return super().forward(x)

    def end(self) -> None: ...


class Segfaults(Ends):
    def end(self) -> None:
        ctypes.string_at(0)


class Aborts(Ends):
    def end(self) -> None:
        os.abort()


class Exits(Ends):
    def end(self) -> None:
        os._exit(3)


class Floods(Ends):
    def end(self) -> None:
        for stream in (1, 2):
            for _ in range(100):
                os.write(stream, b"flood " * 4096)


class Hangs(Ends):
    def end(self) -> None:
        time.sleep(60)


ENDINGS: list[tuple[type, str, str]] = [
    (Segfaults, "crashed", "a call that died by SIGSEGV"),
    (Aborts, "crashed", "a call that died by SIGABRT"),
    (Exits, "crashed", "a call that left Python with exit code 3"),
    (Hangs, "timed-out", "a call that did not return within 0.5 s"),
]


@pytest.mark.skipif(not child.can_fork(), reason="a layer of a test can be reached by fork alone")
@pytest.mark.parametrize(("layer", "outcome", "words"), ENDINGS, ids=[layer.__name__ for layer, *_ in ENDINGS])
def test_a_call_that_ends_its_process_is_a_finding_and_the_rest_goes_on(
    layer: type, outcome: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bad_input, "LIMIT_S", 0.5)
    report = judge(layer, BAD_INPUT, dtypes=["float32"])
    failed = {clause.id: clause for clause in report.clauses if clause.outcome in ("fail", "crashed", "timed-out")}
    assert set(failed) == {"B1", "B8"}
    assert {clause.outcome for clause in failed.values()} == {outcome}
    assert words in (failed["B1"].why or "")


def test_a_flood_of_output_harms_nobody(capfd: pytest.CaptureFixture[str]) -> None:
    assert judge(Floods, BAD_INPUT, dtypes=["float32"]).verdict == "conforms"
    assert capfd.readouterr().out == ""


class GivesNothing(NumPyBatchNorm):
    def check(self, x: Array) -> None:
        if x.ndim > 1 and x.shape[1] == len(self.gamma):
            super().check(x)

    def forward(self, x: Array) -> Array:
        return super().forward(x) if x.ndim > 1 and x.shape[1] == len(self.gamma) else None  # type: ignore[return-value]  # that is what is wrong with it


def test_a_silent_result_is_no_refusal() -> None:
    why = judge(GivesNothing, ["B8"]).clause("B8").why or ""
    assert "got a call that returned a NoneType, wanted a numpy.ndarray, wanted an exception" in why


# One value per channel, an empty batch and integers, each as dialects have it.
class Zeros(NumPyBatchNorm):
    """As the other frameworks: y = beta for one value, NaN for none, and integers converted."""

    def check(self, x: Array) -> None:
        if x.shape[1:2] != self.gamma.shape or x.dtype.kind == "c":
            raise ValueError("no batch of this layer")

    def forward(self, x: Array) -> Array:
        self.check(x)
        if x.size and x.dtype.kind != "i":
            return super().forward(x)
        if not x.size and self.training:
            self.running_mean = self.running_mean + float("nan")
        return x + 0.0 if not x.size else super().forward(x.astype(self.gamma.dtype))

    def stored_variance(self, var: Array, m: int) -> Array:
        return var


def test_the_dialect_says_what_degenerate_input_gives() -> None:
    clauses = ["B3", "B4", "B5", "B10"]
    outcomes = {clause: judge(Zeros, clauses, dialect="d2l").clause(clause).outcome for clause in clauses}
    assert outcomes == {"B3": "pass", "B4": "pass", "B5": "pass", "B10": "fail"}
    failing = {c.id for c in judge(Zeros, clauses, dialect="torch").clauses if c.outcome == "fail"}
    assert failing == {"B4", "B5", "B10"}


def test_what_a_dialect_does_not_tell_is_no_gap() -> None:
    for layer in (Zeros, torch.nn.BatchNorm1d):
        report = judge(layer, ["B3", "B4", "B5"], dialect="detectron2-sync")
        assert report.verdict == "conforms"


def test_a_fixed_number_of_channels_is_judged_too() -> None:
    assert judge(torch.nn.BatchNorm1d(5), ["B1", "B4"]).verdict == "conforms"


def in_this_process() -> bool:
    return False


def test_without_a_fork_a_fresh_process_or_this_one_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_input, "can_fork", in_this_process)
    assert judge(torch.nn.BatchNorm1d, ["B1", "B8"], dtypes=["float32"]).verdict == "conforms"
    assert judge(lambda: torch.nn.BatchNorm1d(4), ["B1", "B8"], dtypes=["float32"]).verdict == "conforms"


class Waits(NumPyBatchNorm):
    """As of a framework that compiles by threads of its own, which a fork leaves behind, and says so nowhere."""

    compiled: ClassVar[set[tuple[int, ...]]] = set()
    home = os.getpid()

    def forward(self, x: Array) -> Array:
        if os.getpid() != self.home and x.shape not in self.compiled:
            time.sleep(100)
        self.compiled.add(x.shape)
        return super().forward(x)


def test_a_layer_that_no_child_comes_back_from_is_called_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bad_input, "LIMIT_S", 1.0)
    report = judge(Waits, BAD_INPUT, dtypes=["float64"])
    assert report.verdict == "conforms", report
    monkeypatch.setattr(edges, "PLAIN_S", 1.0)
    answers = bnspec.identify(Waits).answers
    assert [answers[name].value for name in ("one_value", "empty_batch", "integer_input")] == [
        "refuse", "untouched", "refuse",
    ]  # fmt: skip


def test_what_a_child_says_comes_in_order_and_so_does_its_end() -> None:
    def work(send: Callable[[Any], None]) -> None:
        send(1)
        send(2)

    worker = child.Child(work, fork=True)
    assert [worker.receive(10) for _ in range(3)] == [1, 2, child.DONE]
    assert replace(child.DONE) == child.DONE


COMPLEX = Path(__file__).parent / "targets/complex_layers.py"


@pytest.mark.parametrize("name", ["Plain", "SquaresOneByOne"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_complex_numbers_may_be_normalised_by_the_squared_distance(name: str, dtype: str) -> None:
    for seed in range(3):
        report = judge(load_target(f"{COMPLEX}:{name}").obj, ["B3", "B8"], dialect=None, seed=seed, dtypes=[dtype])
        assert report.verdict == "conforms", report


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("Squares", "part of y"),
        ("RealVariance", "part of y"),
        ("RealMean", "imaginary part"),
        ("Lost", "kind of numbers"),
    ],
)
def test_other_answers_to_complex_numbers_are_refused(name: str, part: str, tmp_path: Path) -> None:
    report = judge(load_target(f"{COMPLEX}:{name}").obj, ["B3", "B8"], dialect=None)
    assert [report.clause(clause).outcome for clause in ("B3", "B8")] == ["fail", "fail"]
    assert part in str(report.clause("B3").why)
    assert (
        main(["certify", f"{COMPLEX}:{name}", "--clause", "B3", "--profile", "smoke", "--scripts", str(tmp_path)]) == 1
    )
    assert len(list(tmp_path.iterdir())) == 1
