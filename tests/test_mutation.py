"""Automatic mutation: its judges see the changed file and no other, and what is explained is still there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.mutation.explained import EXPLAINED, Explained
from tests.mutation.subjects import SUBJECTS

ROOT = Path(__file__).parents[1]
TRIAL = """
from pathlib import Path
from tests.mutation.trial import prepare_bench

FILE = "reference/numpy_batchnorm.py"
TRUE = Path(FILE).read_text()

def starts_as_it_should():
    from reference.numpy_batchnorm import BatchNorm
    return BatchNorm(3).running_var.tolist() == [1, 1, 1]

def never_looks():
    return True

def find(text):
    with prepare_bench(FILE, [never_looks, starts_as_it_should]) as bench:
        return bench.find_who_notices(text)

assert find(TRUE) is None
assert find(TRUE.replace("np.ones(num_features, dtype)", "np.zeros(num_features, dtype)")) == 1
assert find("import nothing_of_this_name") == 1
assert find("while True: pass") == 1
assert Path(FILE).read_text() == TRUE
"""


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="git lists what is copied: this is no checkout")
def test_a_judge_sees_the_changed_file_in_a_copy_and_may_not_hang() -> None:
    asked = [sys.executable, "-c", TRIAL]
    done = subprocess.run(asked, cwd=ROOT, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("row", EXPLAINED, ids=lambda row: f"{row.file}: {row.before}")
def test_what_is_explained_is_in_the_file(row: Explained) -> None:
    assert row.before in (ROOT / row.file).read_text(encoding="utf-8")
    assert row.before not in row.afters


def test_the_page_in_docs_tells_of_each_file_and_explains_what_survives() -> None:
    page = (ROOT / "docs/mutation.md").read_text(encoding="utf-8")
    assert re.findall(r"^## `(.+)`$", page, re.MULTILINE) == list(SUBJECTS)
    assert "NOT EXPLAINED" not in page
    for row in EXPLAINED:
        assert f"`{row.before}`" in page
        assert row.why in page
