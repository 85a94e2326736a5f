"""At the terminal: a bar while it runs, colours, quiet and verbose; plain text where it is piped; and Ctrl-C."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnspec.certificate.model import Certificate
from bnspec.certificate.terminal import render
from bnspec.cli import main
from bnspec.commands.show import Bar, paint
from bnspec.engine.blocks import Block
from tests.report_samples import failing_report, incomplete_report, passing, target_report

ROOT = Path(__file__).parents[1]
LAYERS = ROOT / "tests/targets/cli_layers.py"
COMMAND = [sys.executable, "-m", "bnspec.cli", "certify", f"{LAYERS}:Right", "--dtype", "float32"]
QUICK = ("--profile", "smoke", "--clause", "F1", "R2")
ESCAPE = re.compile(r"\x1b\[[0-9;]*[mK]")

needs_pty = pytest.mark.skipif(not hasattr(os, "openpty"), reason="there is no pseudo-terminal on this system")


def read_to_the_end(end: int) -> str:
    """What was written to a pseudo-terminal until nobody holds its other end."""
    text = b""
    with contextlib.suppress(OSError):  # which is how Linux says that nobody does
        while data := os.read(end, 65536):
            text += data
    return text.decode()


def run_at_a_terminal(*arguments: str, **variables: str) -> tuple[int, str]:
    ours, theirs = os.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm", **variables}
    process = subprocess.Popen([*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    text = read_to_the_end(ours)
    os.close(ours)
    return process.wait(), text


@needs_pty
def test_at_a_terminal_there_is_a_bar_that_goes_away_and_colour() -> None:
    code, text = run_at_a_terminal(*QUICK, "--seed", "1")
    assert code == 0
    frames = text.split("\r\x1b[K")
    bars = [frame for frame in frames if re.search(r"\[=* *\]  \d+ of \d+ blocks, \d+ s left  \w", frame)]
    assert bars
    assert "explaining" in bars[-1]
    assert "bnspec 0" in frames[-1]
    assert "\x1b[32mCONFORMS\x1b[0m to torch" in frames[-1]


@needs_pty
@pytest.mark.parametrize(
    ("arguments", "variables"), [(("--no-color",), {}), ((), {"NO_COLOR": "1"}), ((), {"TERM": "dumb"})]
)
def test_who_wants_no_colour_gets_none(arguments: tuple[str, ...], variables: dict[str, str]) -> None:
    code, text = run_at_a_terminal(*QUICK, *arguments, **variables)
    assert code == 0
    assert not re.search(r"\x1b\[\d+m", text)
    assert ("\x1b" in text) is ("TERM" not in variables)


def test_piped_it_is_plain() -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    done = subprocess.run([*COMMAND, *QUICK], env=environment, capture_output=True, text=True, check=True)
    assert "CONFORMS to torch" in done.stdout
    assert done.stderr == ""
    assert not set("\x1b\r") & set(done.stdout)


# How much is said


def test_quiet_prints_the_verdict_and_verbose_each_cell(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["certify", f"{LAYERS}:Right", f"{LAYERS}:Wrong", "--profile", "smoke", "--clause", "F1", "R2"]
    assert main([*asked, "--quiet"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [re.split(r":(?:Right|Wrong) ", line)[1][:12] for line in lines] == ["CONFORMS to ", "DOES NOT CON"]
    assert main([*asked, "-v"]) == 1
    out = capsys.readouterr().out
    cells = re.findall(
        r"^  (F1|R2) +(float32|float64) on cpu +(pass|FAIL) +\d+ cases, \d+ informative, worst", out, re.MULTILINE
    )
    assert len(cells) == len(set(cells)) + 2 == 8
    assert "MUST F1 FAILS" in out


def test_colours_touch_the_outcomes_alone() -> None:
    reports = (target_report(passing()), failing_report(), incomplete_report())
    text = render(Certificate(reports))
    painted = paint(text)
    assert ESCAPE.sub("", painted) == text
    words = set(re.findall(r"\x1b\[(\d+)m *([^\x1b]+)", painted))
    assert words >= {("32", "pass"), ("31", "FAIL"), ("31", "FAILS"), ("33", "too few"), ("33", "NOT RUN")}
    assert words >= {("32", "CONFORMS"), ("31", "DOES NOT CONFORM"), ("33", "INCOMPLETE")}


def test_the_time_left_goes_by_what_blocks_took() -> None:
    bar = Bar("a:B", None)
    bar.took |= {"training": [1.0, 3.0], "history": [10.0]}
    training, history, other = (Block(name, "float32", "cpu", 1) for name in ("training", "history", "layouts"))
    assert bar.estimate([training, training, history]) == 14.0
    assert bar.estimate([other]) == 14 / 3
    assert Bar("a:B", None).estimate([other]) == 0.0


# Ctrl-C

HEEDING = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a job in the background has not
from bnspec.cli import main
if __name__ == "__main__":
    sys.exit(main())
"""


@needs_pty
@pytest.mark.parametrize("how", [(), ("-n", "2"), ("--isolate",)], ids=["here", "spread", "isolated"])
def test_ctrl_c_leaves_an_honest_incomplete_certificate(tmp_path: Path, how: tuple[str, ...]) -> None:
    ours, theirs = os.openpty()
    file, badge = tmp_path / "c.json", tmp_path / "b.json"
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm"}
    asked = [sys.executable, "-c", HEEDING, *COMMAND[3:], *how, "--profile", "standard"]
    asked += ["--json", str(file), "--badge", str(badge)]
    asked.insert(asked.index("certify") + 2, f"{LAYERS}:Wrong")
    process = subprocess.Popen(
        asked, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=environment, text=True, start_new_session=True
    )
    os.close(theirs)
    seen, began = "", time.monotonic()
    while "blocks" not in seen and time.monotonic() - began < 120:
        seen += os.read(ours, 4096).decode()
    os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to the whole group
    out, _ = process.communicate(timeout=120)
    os.close(ours)
    assert process.returncode == 130
    assert "INCOMPLETE for torch: too little was judged of" in out
    assert "; INTERRUPTED, the rest was not judged - " in out
    document = json.loads(file.read_text(encoding="utf-8"))
    assert [(target["verdict"], target["interrupted"]) for target in document["targets"]] == [("incomplete", True)]
    assert json.loads(badge.read_text(encoding="utf-8"))["message"] == "incomplete"
    assert "Traceback" not in out + seen
