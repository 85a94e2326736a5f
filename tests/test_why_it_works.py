"""The chapter on why batch norm works: its commands run, its figures are those that the script draws."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bnspec import cli

ROOT = Path(__file__).resolve().parent.parent
PAGE = (ROOT / "docs" / "why-it-works.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^    ((?:bnspec|python) .+)$", PAGE, re.MULTILINE)
ABSENT = [module for module in ("sklearn", "matplotlib") if importlib.util.find_spec(module) is None]
needs_extras = pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)}, of bnspec[docs]")
LARGEST = 60_000
"""Bytes of a figure."""


def test_every_claim_and_every_clause_is_on_the_page() -> None:
    rows = re.findall(r"^\| (\d+) \| [^|]+ \| ([^|]+) \|[^|]*\|$", PAGE, re.MULTILINE)
    assert [int(number) for number, _ in rows] == list(range(1, 14))
    named = {clause for _, clauses in rows for clause in re.findall(r"C\d", clauses)}
    assert named == {f"C{number}" for number in range(1, 7)}
    assert set(re.findall(r"\*\*(C\d)\*\*", PAGE)) == named


def test_the_page_shows_the_figures_that_are_there() -> None:
    shown = re.findall(r"^!\[.+\]\(claims/(\w+\.svg)\)$", PAGE, re.MULTILINE)
    figures = list((ROOT / "docs" / "claims").iterdir())
    assert sorted(shown) == sorted(figure.name for figure in figures)
    assert all(figure.stat().st_size < LARGEST for figure in figures)


@needs_extras
@pytest.mark.slow
def test_the_script_draws_every_figure_and_prints_what_the_page_says(tmp_path: Path) -> None:
    assert [command for command in COMMANDS if command.startswith("python")] == ["python examples/claims/draw.py"]
    command = [sys.executable, str(ROOT / "examples/claims/draw.py"), str(tmp_path)]
    printed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert sorted(f.name for f in tmp_path.iterdir()) == sorted(f.name for f in (ROOT / "docs/claims").iterdir())
    slope = re.search(r"slope (-[\d.]+) in log m", printed)
    assert slope is not None
    assert f"the slope is {slope[1]} in log m" in PAGE
    lost, saturated = re.findall(r"last layer: (\S+) without", printed)[:: len(re.findall("widths", printed)) - 1]
    assert f"a signal of {lost}, at gain 10 one of {saturated}" in PAGE


@needs_extras
@pytest.mark.slow
def test_the_command_of_the_page_certifies(capsys: pytest.CaptureFixture[str]) -> None:
    (command,) = [command for command in COMMANDS if command.startswith("bnspec")]
    assert cli.main(command.split()[1:]) == 0
    assert "CONFORMS to torch, in C1, C2, C3, C4, C5, C6 alone" in capsys.readouterr().out
