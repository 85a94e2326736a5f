"""The command line: what it refuses and how, exit codes, addresses, workers, and that the README's commands run."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from bnspec.conformance.table import EXPERIMENTS

import bnspec.engine.blocks
import bnspec.engine.run
from bnspec.cases.case import Case
from bnspec.cli import main
from bnspec.spec.clauses import CLAUSES, FAMILIES
from bnspec.spec.formats import PRECISIONS

ROOT = Path(__file__).parents[1]
LAYERS = str(ROOT / "tests/targets/cli_layers.py")
RIGHT, WRONG = f"{LAYERS}:Right", f"{LAYERS}:Wrong"
QUICK = ("--profile", "smoke", "--dtype", "float32")

Output = pytest.CaptureFixture[str]


def certify(*arguments: str) -> int:
    """The exit code, of argparse's own exits too."""
    try:
        return main(["certify", *arguments])
    except SystemExit as left:
        return int(str(left.code))


def without_durations(document: Any) -> Any:
    for target in document["targets"]:
        del target["duration_s"]
    return document


# Wrong usage

REFUSED = {
    "unknown version": (("torch.nn:BatchNorm1d", "--spec", "9.9"), "the versions of the specification are 1.0"),
    "no target": ((), "no target is named"),
    "no attribute in the target": (("torch.nn",), "'torch.nn'"),
    "unknown module": (("no_such_module:BatchNorm",), "no_such_module"),
    "unknown file": (("no_such_file.py:BatchNorm",), "no_such_file.py"),
    "unknown attribute": (("torch.nn:BatchNorm1",), "did you mean BatchNorm1d"),
    "unknown reference": (("reference:torche",), "did you mean torch"),
    "not a Python file": ((f"{ROOT / 'pyproject.toml'}:project",), ".py"),
    "a folder": ((f"{ROOT / 'tests'}/:Right",), "folder"),
    "raises on import": ((f"{ROOT / 'tests/targets/cli_raises_on_import.py'}:Layer",), "no driver"),
    "raises when made": ((f"{LAYERS}:RaisesWhenMade",), "no kernel"),
    "no layer at all": ((f"{LAYERS}:NOTHING",), "NoneType"),
    "unknown dialect": ((RIGHT, "--dialect", "torhc"), "did you mean torch"),
    "unknown clause": ((RIGHT, "--clause", "F99"), "F99"),
    "planned clause": (
        (RIGHT, "--clause", next(c.id for c in CLAUSES.values() if c.status == "planned")),
        "planned",
    ),
    "unknown profile": ((RIGHT, "--profile", "smoky"), "did you mean smoke"),
    "unknown device": ((RIGHT, "--device", "tpu"), "tpu"),
    "absent device": ((RIGHT, "--device", "cuda:99"), "cuda:99"),
    "unknown dtype": ((RIGHT, "--dtype", "int8"), "int8"),
    "unknown ability": ((RIGHT, "--without", "gradient"), "did you mean gradients"),
    "argument without value": ((RIGHT, "--arg", "eps"), "key=value"),
    "argument that is no literal": ((RIGHT, "--arg", "eps=tiny"), "literal"),
    "argument that the constructor lacks": ((RIGHT, "--arg", "unbiased=True"), "unbiased"),
    "unwritable file": ((RIGHT, "--json", "no/such/folder/c.json"), "no/such/folder/c.json"),
    "no workers": ((RIGHT, "-n", "0"), "-n 0"),
    "workers that are no number": ((RIGHT, "-n", "two"), "two"),
    "unknown option": ((RIGHT, "--fast"), "--fast"),
    "no case address": ((RIGHT, "--case", "cpu/whatever"), "whatever"),
    "case of another rank": ((RIGHT, "--case", "cpu/training/float32/2x2x2x2x2x2/eps=0.1,momentum=0.3"), "2x2x2x2x2x2"),
    "case of one value": ((RIGHT, "--case", "cpu/training/float32/1x2/eps=0.1,momentum=0.3"), "1x2"),
    "case that feeds another clause": (
        (RIGHT, "--clause", "R2", "--case", "cpu/gradients/float32/2x2/eps=0.1,momentum=0.3"),
        "R2",
    ),
    "case of no experiment": ((RIGHT, "--case", "cpu/dancing/float32/2x2/eps=0.1,momentum=0.3"), "dancing"),
    "case under no setting": (
        (RIGHT, "--case", "cpu/training/float32/2x2/eps=0.1,momentum=0.3,setting=three_thread"),
        "did you mean three_threads",
    ),
    "case on no device": ((RIGHT, "--case", "tpu/training/float32/2x2/eps=0.1,momentum=0.3"), "tpu"),
    "case of two targets": (
        (RIGHT, WRONG, "--case", "cpu/training/float32/2x2/eps=0.1,momentum=0.3"),
        "single target",
    ),
}


@pytest.mark.parametrize(("arguments", "told"), REFUSED.values(), ids=REFUSED.keys())
def test_wrong_usage_is_one_line_and_exit_code_2(arguments: tuple[str, ...], told: str, capsys: Output) -> None:
    assert certify(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert len(err.splitlines()) == 1, err
    assert err.startswith("bnspec")
    assert told in err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA device")
def test_cuda_where_there_is_none_is_wrong_usage(capsys: Output) -> None:
    assert certify(RIGHT, "--device", "cuda") == 2
    err = capsys.readouterr().err
    assert len(err.splitlines()) == 1
    assert "there is none on this machine" in err


def test_an_unknown_clause_of_the_specification_is_one_line(capsys: Output) -> None:
    assert main(["spec", "F99"]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 1)


def test_wrong_usage_from_a_shell_leaves_no_traceback() -> None:
    command = [sys.executable, "-m", "bnspec.cli", "certify", "no_such_module:BatchNorm"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout) == (2, "")
    assert len(found.stderr.splitlines()) == 1


# Exit codes


def test_a_right_layer_conforms(capsys: Output) -> None:
    assert certify(RIGHT, *QUICK) == 0
    out, err = capsys.readouterr()
    assert "CONFORMS to torch" in out.splitlines()[-1]
    assert err == ""


def test_a_wrong_layer_does_not_conform(capsys: Output) -> None:
    assert certify(WRONG, *QUICK, "--clause", "F1", "R2") == 1
    out = capsys.readouterr().out
    assert "1 of 2 clauses fail (F1)" in out
    assert "in F1, R2 alone" in out


def test_what_a_layer_raises_after_a_proper_call_is_a_finding(capsys: Output) -> None:
    assert certify(f"{LAYERS}:RaisesOnForward", *QUICK, "--clause", "F1") == 1
    out, err = capsys.readouterr()
    assert "odd batches are not supported" in out
    assert err == ""


def test_too_few_informative_cases_are_incomplete(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    monkeypatch.setitem(CLAUSES, "R3", replace(CLAUSES["R3"], informative=(10**6,) * 3))
    assert certify(RIGHT, *QUICK, "--clause", "R3") == 3
    assert "INCOMPLETE for torch, in R3 alone: too little was judged of R3" in capsys.readouterr().out


def test_what_is_left_out_stands_in_the_verdict(capsys: Output) -> None:
    assert certify(RIGHT, *QUICK, "--without", "gradients", "positions") == 0
    out = capsys.readouterr().out
    assert "CONFORMS to torch, without gradients, positions" in out
    assert "ranks 2;" in out


def test_a_fault_of_the_suite_looks_like_no_verdict(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("of our own")

    monkeypatch.setattr(bnspec.engine.run, "run_block", fail)
    assert certify(RIGHT, *QUICK) == 4
    out, err = capsys.readouterr()
    assert out == ""
    assert "of our own" in err
    assert "a fault of bnspec" in err.splitlines()[-1]


def test_a_broken_bnspec_is_no_verdict(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def fail(_: object) -> int:
        raise ImportError("a file is missing")

    monkeypatch.setattr("bnspec.commands.identify.print_identity", fail)
    monkeypatch.setitem(sys.modules, "bnspec.engine.plan", None)
    assert main(["identify", "reference:numpy"]) == 4
    assert "a fault of bnspec" in capsys.readouterr().err.splitlines()[-1]


def test_an_interrupt_certifies_nothing(monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bnspec.engine.run, "run_block", interrupt)
    assert certify(RIGHT, *QUICK) == 130
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize(
    ("targets", "code"),
    [((RIGHT, RIGHT), 0), ((RIGHT, WRONG), 1), ((WRONG, "torch.nn:Nothing"), 2), (("torch.nn:Nothing", RIGHT), 2)],
)
def test_of_several_targets_the_worst_decides(targets: tuple[str, ...], code: int, capsys: Output) -> None:
    assert certify(*targets, *QUICK, "--clause", "F1") == code
    out, err = capsys.readouterr()
    assert len(err.splitlines()) == (code == 2)
    assert ("CONFORMS to" in out) == (RIGHT in targets)


def test_several_targets_end_in_one_table(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "certificate.json"
    assert certify(RIGHT, WRONG, *QUICK, "--clause", "F1", "--json", str(file)) == 1
    lines = capsys.readouterr().out.splitlines()[-2:]
    assert [line.split()[0] for line in lines] == [RIGHT, WRONG]
    assert lines[1].endswith("F1")
    document = json.loads(file.read_text(encoding="utf-8"))
    assert document["verdict"] == "does not conform"
    assert [target["target"] for target in document["targets"]] == [RIGHT, WRONG]


# Cases and workers


def test_a_failure_says_how_to_run_its_case_again(tmp_path: Path, capsys: Output) -> None:
    file = tmp_path / "certificate.json"
    asked = ("--clause", "F1", "--arg", "momentum=0.5", "--without", "gradients", "--dialect", "torch")
    assert certify(WRONG, *QUICK, *asked, "--json", str(file)) == 1
    line = next(line for line in capsys.readouterr().out.splitlines() if "again:" in line)
    command = shlex.split(line.partition("again:")[2])
    assert command[0] == "bnspec"
    assert main(command[1:]) == 1
    again = capsys.readouterr().out
    (clause,) = (c for c in json.loads(file.read_text(encoding="utf-8"))["targets"][0]["clauses"] if c["id"] == "F1")
    finding = next(line.strip() for line in again.splitlines() if "got" in line)
    assert clause["why"].startswith(finding)
    assert clause["case"] in command


def test_a_case_that_passes_is_exit_code_0(capsys: Output) -> None:
    assert certify(RIGHT, "--clause", "F1", "--case", "cpu/training/float32/2x2/eps=0.1,momentum=0.3") == 0
    assert re.fullmatch(r"F1 +pass +\S+ bounds\n", capsys.readouterr().out)


def test_the_number_of_workers_changes_nothing(tmp_path: Path) -> None:
    documents = []
    for workers in ("1", "2"):
        file = tmp_path / f"{workers}.json"
        asked = ("--profile", "smoke", "--clause", "F1", "R2", "E1", "--json", str(file), "-n", workers)
        assert certify(WRONG, *asked) == 1
        documents.append(without_durations(json.loads(file.read_text(encoding="utf-8"))))
    assert documents[0] == documents[1]


def cases_of(monkeypatch: pytest.MonkeyPatch, *options: str) -> list[str]:
    """The addresses of the cases that a run would judge, none of them judged."""
    found: list[str] = []

    def note(_: object, case: Case, device: str, __: object) -> dict[str, object]:
        found.append(f"{device}/{case.address()}")
        return {}

    with monkeypatch.context() as patched:
        patched.setattr(bnspec.engine.blocks, "judge_case", note)
        assert certify(RIGHT, "--device", "cpu", *options) == 3
    return found


def test_smoke_is_a_part_of_standard(monkeypatch: pytest.MonkeyPatch) -> None:
    clauses = ("--clause", "F1", "E1", "R3")
    smoke, standard = (cases_of(monkeypatch, "--profile", profile, *clauses) for profile in ("smoke", "standard"))
    assert len(smoke) > 100
    assert set(smoke) < set(standard)
    assert len(set(standard)) > 3 * len(set(smoke))


def test_the_same_seed_draws_the_same_cases_and_another_others(monkeypatch: pytest.MonkeyPatch) -> None:
    first, again, other = (cases_of(monkeypatch, "--profile", "smoke", "--seed", seed) for seed in ("0", "0", "1"))
    assert first == again
    by_hand = {
        replace(case, dtype=dtype).address()
        for experiment in EXPERIMENTS.values()
        for dtype in PRECISIONS
        for case in experiment.literals(dtype)
    }
    # Whatever the seed, each experiment of each dtype begins with the simplest case, whose own seed is 0.
    drawn = {address for address in first if address.removeprefix("cpu/") not in by_hand and "seed=" in address}
    assert len(drawn) > 50
    assert len(drawn - set(other)) > 0.95 * len(drawn)


# Help and specification


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["certify", "--help"], ["spec"], ["spec", "F1"]])
def test_help_and_specification_start_at_once_without_numpy(arguments: list[str]) -> None:
    code = (
        "import sys\nfrom bnspec.cli import main\n"
        f"try:\n    main({arguments})\nexcept SystemExit:\n    pass\n"
        "sys.exit(bool({'numpy', 'hypothesis', 'torch'} & set(sys.modules)))"
    )
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
        seconds.append(time.perf_counter() - began)
        assert (found.returncode, found.stderr) == (0, "")
        assert found.stdout
    assert min(seconds) < 0.3


def test_the_specification_lists_every_clause(capsys: Output) -> None:
    assert main(["spec"]) == 0
    out = capsys.readouterr().out
    assert [c for c in CLAUSES if not re.search(rf"^  {c} ", out, re.MULTILINE)] == []
    assert [title for title in FAMILIES.values() if title not in out] == []


def test_a_clause_is_printed_whole(capsys: Output) -> None:
    assert main(["spec", "F1"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    for text in (CLAUSES["F1"].statement, CLAUSES["F1"].why, CLAUSES["F1"].bound, CLAUSES["F1"].source):
        assert " ".join(text.split()) in out


# The README

MY_LAYERS = "from torch import nn\n\n\nclass FastBatchNorm(nn.BatchNorm1d):\n    pass\n"


def written_commands() -> list[str]:
    """Every line of code in README and docs that calls bnspec, pytest or Python; pip's lines are not run."""
    pages = [ROOT / "README.md", ROOT / "docs/ci.md", ROOT / "docs/timing.md"]
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages).replace("\\\n", " ")
    fenced = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    lines = [line for block in fenced for line in block.splitlines()] + re.findall(r"^    (.*)", text, re.MULTILINE)
    lines = [line.strip().removeprefix("$ ") for line in lines]
    return [line for line in lines if re.match(r"(bnspec|pytest|python3?) (?!=)", line) and " -m pip " not in line]


def quicken(command: list[str]) -> list[str]:
    """The command with the smallest profile, and by few clauses; of an option that is given twice, the last counts.

    Single clauses are quick, and some are not judged so soon.
    """
    if "--clause" in command:
        return command
    if "certify" in command:
        return [*command, "--profile", "smoke", "--clause", "F1", "R2", "G14"]
    for mark, option in (("tests.where_time_goes", "--profile"), ("--bn", "--bn-profile")):
        if mark in command:
            return [*command, option, "smoke"]
    return command


@pytest.mark.slow
def test_the_commands_of_readme_and_docs_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Output) -> None:
    """They end in a verdict (0 or 1), in a checkout with the user's own my_layers.py beside it.

    Of bnspec's subcommands, the first call of each is a process of its own, as a shell starts it.
    """
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".*", "__pycache__", "*.egg-info", "shared"))
    (folder / "my_layers.py").write_text(MY_LAYERS, encoding="utf-8")
    monkeypatch.chdir(folder)
    begun: set[tuple[str, ...]] = set()
    for line in dict.fromkeys(written_commands()):
        command = quicken(shlex.split(line, comments=True))
        kind = tuple(command[:2])
        if command[0] == "bnspec" and kind in begun:
            code, said = main(command[1:]), "".join(capsys.readouterr())
        else:
            code, said = run_by_a_shell(command, folder)
        begun.add(kind)
        assert code in (0, 1), f"{line}\n{said}"
        assert "Traceback" not in said, line
    assert ("bnspec", "certify") in begun


def run_by_a_shell(command: list[str], folder: Path) -> tuple[int, str]:
    """The exit code, and what was printed."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    assert shutil.which("bnspec", path=path), "the commands need the package installed: pip install -e '.[test]'"
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**outside, "PATH": path, "PYTHONPATH": str(folder)}
    found = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return found.returncode, found.stdout + found.stderr


def test_the_python_of_the_readme_runs() -> None:
    blocks = re.findall(
        r"^```python\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    assert blocks
    for block in blocks:
        exec(block, {})


def test_shoulds_named_alone_decide(capsys: Output) -> None:
    assert main(["certify", "torch.nn:BatchNorm1d", "--clause", "G14", "--profile", "smoke"]) == 1
    assert main(["certify", "torch.nn:BatchNorm1d", "--clause", "F12", "N7", "--profile", "smoke"]) == 0
    assert main(["certify", "torch.nn:BatchNorm1d", "--clause", "G14", "F1", "--profile", "smoke"]) == 0
    assert "SHOULD" in capsys.readouterr().out
