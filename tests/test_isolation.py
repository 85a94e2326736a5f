"""Subjects that end, keep, flood or change their process, fail now and then, or return what is no output."""

# ruff: noqa: ARG001, ARG005  (what a subject does to a batch is handed the batch, read or not)

from __future__ import annotations

import ctypes
import os
import random
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import bnspec
from bnspec.certificate.model import TargetReport
from bnspec.cli import main
from bnspec.engine import child, isolation, run
from bnspec.layers.surroundings import look, preserving, tell_changes
from bnspec.layers.torch_tensors import TORCH

pytestmark = pytest.mark.skipif(not child.can_fork(), reason="a layer of a test can be reached by fork alone")
FAILED = ("fail", "crashed", "timed-out")


@pytest.fixture(autouse=True)
def _unshrunk(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is found is in question here, not the smallest case of it."""
    monkeypatch.setattr(run, "SHRUNK", 0)


class Acts(torch.nn.BatchNorm1d):
    """torch's own, but for what a subclass does to batches of nine examples."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        return self.act(input) if len(input) == 9 else super().forward(input)

    def act(self, x: Tensor) -> Any:
        return super().forward(x)


def acting(what: Callable[[Tensor], Any]) -> type[Acts]:
    return type("Acting", (Acts,), {"act": lambda self, x: what(x)})


def judge(layer: Any, *clauses: str, **options: Any) -> TargetReport:
    options = {"profile": "smoke", "dtypes": ["float32"], "seed": 1, **options}
    return bnspec.certify(layer, clauses=list(clauses), **options).targets[0]


def failed(report: TargetReport) -> set[str]:
    return {clause.id for clause in report.clauses if clause.outcome in FAILED}


def flood(x: Tensor) -> None:
    for _ in range(50):
        os.write(1, b"flood " * 4096)
    raise ValueError("enough")


def hang(x: Tensor) -> None:
    time.sleep(600)


ENDS: dict[str, tuple[Callable[[Tensor], Any], str, str]] = {
    "segfault": (lambda x: ctypes.string_at(0), "crashed", "died by SIGSEGV"),
    "abort": (lambda x: os.abort(), "crashed", "died by SIGABRT"),
    "exit": (lambda x: os._exit(0), "crashed", "left Python with exit code 0"),
    "hang": (hang, "timed-out", "did not return within 2 s"),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_end_of_a_process_is_a_finding_and_the_next_block_is_judged(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(isolation.Isolated.__init__, "__defaults__", (2.0,))
    act, outcome, words = ENDS[name]
    report = judge(acting(act), "G1", "B4", isolate=True)
    assert report.verdict == "does not conform"
    assert report.clause("G1").outcome == outcome
    assert words in (report.clause("G1").why or "")
    assert (report.clause("G1").case or "").startswith("cpu/")
    assert report.clause("B4").outcome == "pass", "another block, and no batch of nine in it"


def test_a_right_layer_conforms_in_a_child_as_it_does_here() -> None:
    """With the same cases, but for those of a second and a third thread, which a forked child does not start."""
    asked = ("B1", "B7", "R3", "G6")
    here, there = (judge(torch.nn.BatchNorm1d, *asked, isolate=isolate) for isolate in (False, True))
    assert there.verdict == "conforms"
    assert [clause.cells for clause in here.clauses] == [clause.cells for clause in there.clauses]
    here, there = (judge(torch.nn.BatchNorm1d, "F1", "G1", isolate=isolate) for isolate in (False, True))
    for clause in ("F1", "G1"):
        with_threads, without = here.clause(clause), there.clause(clause)
        assert (with_threads.outcome, without.outcome) == ("pass", "pass")
        assert 0 < with_threads.executed - without.executed < 0.2 * with_threads.executed


def test_a_target_that_ends_the_process_when_it_is_tried_out_cannot_be_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "layer.py"
    file.write_text("import os, torch\nclass Gone(torch.nn.BatchNorm1d):\n    def forward(self, input): os._exit(7)\n")
    assert main(["certify", f"{file}:Gone", "--isolate", "--profile", "smoke"]) == 2
    assert "when it was tried out with a plain batch it left Python with exit code 7" in capsys.readouterr().err
    assert main(["certify", f"{file}:Gone", "--isolate", "-n", "2"]) == 2


def test_without_isolation_leaving_python_is_a_finding(capfd: pytest.CaptureFixture[str]) -> None:
    for error in (SystemExit("bye"), GeneratorExit("bye")):

        def leave(x: Tensor, error: BaseException = error) -> None:
            raise error

        why = judge(acting(leave), "G1").clause("G1").why or ""
        assert f"raised {type(error).__name__}: bye" in why
    assert "raised ValueError: enough" in (judge(acting(flood), "G1", isolate=True).clause("G1").why or "")
    assert capfd.readouterr().out == ""


def test_an_interrupt_is_none_of_the_subject() -> None:
    def interrupt(x: Tensor) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judge(acting(interrupt), "G1")


class NowAndThen(torch.nn.BatchNorm1d):
    calls = 0

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        type(self).calls += 1
        y = super().forward(input)
        return y + 1 if type(self).calls % 23 == 0 else y


def test_a_subject_that_fails_now_and_then_has_a_finding_and_the_suite_no_fault() -> None:
    report = judge(NowAndThen, "F1", "E1", "R2", "G6")
    assert "F1" in failed(report)
    assert "R2" not in failed(report)


RETURNS: dict[str, Callable[[Tensor], Any]] = {
    "its input": lambda x: x,
    "nothing": lambda x: None,
    "NaN": lambda x: x * float("nan"),
    "a list": lambda x: [x],
    "an array": lambda x: x.detach().numpy(),
    "a number": lambda x: 1.0,
    "a scalar tensor": lambda x: x.sum(),
    "complex numbers": lambda x: x.to(torch.complex64),
    "integers": lambda x: x.long(),
    "booleans": lambda x: x > 0,
    "bfloat16": lambda x: x.bfloat16(),
    "half the batch": lambda x: x[:2],
    "another rank": lambda x: x[None],
    "an empty tensor": lambda x: x[:0],
    "a sparse tensor": lambda x: x.to_sparse(),
    "a tensor without memory": lambda x: x.to("meta"),
    "a parameter": lambda x: torch.nn.Parameter(x.detach().clone()),
}


@pytest.mark.parametrize("name", RETURNS)
def test_whatever_is_returned_is_a_finding(name: str) -> None:
    report = judge(acting(RETURNS[name]), "F1", "F2", "F7", "R2", "E1", "E3", "G1", "N6", "L5", "L6")
    assert report.verdict == "does not conform"
    assert {"F1", "E1"} <= failed(report)


def test_whatever_a_numpy_layer_returns_is_a_finding() -> None:
    from bnspec.mutants.numpy_base import BatchNorm

    for what in (lambda y: y.astype(object), lambda y: y.tolist(), lambda y: y.astype("U"), np.ma.masked_array):
        layer = type("Acting", (BatchNorm,), {"forward": lambda self, x, what=what: what(BatchNorm.forward(self, x))})
        report = judge(layer, "F1", "F2", "F7", "R2", "E1", "E3", "G1", "N6", "L5", dialect="torch")
        assert report.verdict == "does not conform" or what is np.ma.masked_array


CHANGES: dict[str, Callable[[], Any]] = {
    "torch's default dtype": lambda: torch.set_default_dtype(torch.float64),
    "torch's gradient mode": lambda: torch.set_grad_enabled(False),
    "torch's number of threads": lambda: torch.set_num_threads(torch.get_num_threads() + 1),
    "torch's random numbers": lambda: torch.rand(()),
    "NumPy's random numbers": np.random.rand,  # the state that is shared
    "Python's random numbers": random.random,
    "the working directory": lambda: os.chdir("/"),
    "the filters of warnings": lambda: warnings.simplefilter("always", RuntimeWarning),
}


# The adapter sets the gradient mode for each call, and puts it back itself.
@pytest.mark.parametrize("name", [name for name in CHANGES if name != "torch's gradient mode"])
def test_what_a_subject_changes_outside_is_told_and_put_back(name: str) -> None:
    class Changes(torch.nn.BatchNorm1d):
        def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
            y = super().forward(input)
            CHANGES[name]()
            return y

    with preserving(TORCH):  # what is tried out before any case is the caller's to look after
        report = judge(Changes, "S7", "F1")
        assert report.clause("S7").outcome == "fail"
        assert name in (report.clause("S7").why or "")
        assert report.verdict == "conforms", "S7 is provisional and decides nothing"


def test_preserving_puts_everything_back() -> None:
    before = look(TORCH)
    with preserving(TORCH):
        for change in CHANGES.values():
            change()
        assert sorted(tell_changes(before, look(TORCH))) == sorted(CHANGES)
    assert tell_changes(before, look(TORCH)) == []
