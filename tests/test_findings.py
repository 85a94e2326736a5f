"""Reproducers of what was found in shipped libraries stand alone, are run in some environment, and are on the page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.frameworks import ROOT, SCRIPTS, TABLE, reproduce

FOUND = sorted(SCRIPTS.glob("*.py"))
PAGE = (ROOT / "docs/findings.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("script", FOUND, ids=lambda script: script.stem)
def test_a_reproducer_is_short_alone_on_the_page_and_run_by_a_framework(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 15
    assert "bnspec" not in text
    assert re.match(r'"""[A-Z]\d+', text), "it begins with the clause"
    assert f"python {script.relative_to(ROOT).as_posix()}`" in PAGE
    assert any(script.name in row.get("findings", []) for row in TABLE.values())


def test_the_page_names_no_script_that_is_not_there() -> None:
    assert set(re.findall(r"found_in_frameworks/(\w+\.py)", PAGE)) == {script.name for script in FOUND}


@pytest.mark.parametrize(
    ("prints", "differs"),
    [("print('got', 1, 'wanted', 2)", True), ("print('got', 1, 'wanted', 1)", False), ("1 / 0", False), ("", False),
     ("print('got', 1, 'wanted', 1, 'or an error')", False)],
)  # fmt: skip
def test_a_reproducer_must_show_a_difference(
    prints: str, differs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "one.py").write_text(prints)
    monkeypatch.setattr("tests.frameworks.SCRIPTS", tmp_path)
    assert reproduce("ours", "one.py") is differs
