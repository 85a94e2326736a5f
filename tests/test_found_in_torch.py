"""The reproducers of what was found in torch still find it, or the page is to be mended."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "examples" / "found_in_torch").glob("*.py"))


def told(output: str) -> tuple[str, str]:
    """What a reproducer got and what it wanted, as it prints them."""
    _, _, pair = output.rpartition("got ")
    got, _, wanted = pair.partition("wanted ")
    return got, wanted


@pytest.mark.skipif(not torch.__version__.startswith("2.13.0"), reason="the page speaks of torch 2.13.0")
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_reproducer_stands_alone_and_shows_a_difference(script: Path) -> None:
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    got, wanted = (re.findall(r"nan|-?\d+(?:\.\d+)?(?:e-?\d+)?", part) for part in told(run.stdout))
    assert len(got) == len(wanted)
    assert got != wanted
    assert "bnspec" not in script.read_text()
    assert len(script.read_text().splitlines()) <= 20


def test_the_page_names_every_reproducer() -> None:
    page = (ROOT / "docs" / "found-in-torch.md").read_text()
    assert SCRIPTS
    for script in SCRIPTS:
        assert f"`python {script.relative_to(ROOT).as_posix()}`" in page
