"""`[tool.bnspec]`: what a project asks for, from any folder of it, and what is said where it cannot be followed."""

from __future__ import annotations

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from bnspec.cli import main
from bnspec.engine.plan import Request, UsageError
from bnspec.settings import Order, find_project, read_orders

LAYERS = Path(__file__).parent / "targets/cli_layers.py"


def write(folder: Path, text: str) -> Path:
    (folder / "pyproject.toml").write_text(text, encoding="utf-8")
    return folder


def test_orders_are_what_the_table_says_and_a_target_may_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(
        tmp_path,
        """
        [tool.bnspec]
        targets = ["layers.py:Fast", { target = "package.norms:Slow", dialect = "keras", args = { axis = 1 } }]
        args = { unbiased = false }
        dialect = "torch"
        profile = "smoke"
        seed = 7
        device = ["cpu"]
        dtype = ["float32"]
        without = ["gradients"]
        strict = true
        isolate = true
        """,
    )
    request = Request("torch", "smoke", 7, ("cpu",), ("float32",), ("gradients",), (), True)
    other = Request("keras", "smoke", 7, ("cpu",), ("float32",), ("gradients",), (), True)
    assert read_orders(tmp_path) == [
        Order("layers.py:Fast", request, {"unbiased": False}, True),
        Order("package.norms:Slow", other, {"axis": 1}, True),
    ]


def test_what_is_left_out_is_as_on_the_command_line(tmp_path: Path) -> None:
    (order,) = read_orders(write(tmp_path, "[tool.bnspec]\ntargets = ['torch.nn:BatchNorm1d']"))
    assert order == Order("torch.nn:BatchNorm1d", Request())


def test_the_nearest_project_that_asks_for_it_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    inner = tmp_path / "inner/deep"
    inner.mkdir(parents=True)
    assert find_project(inner) is None
    write(tmp_path, "[tool.bnspec]\ntargets = ['sub/layers.py:Fast']")
    write(tmp_path / "inner", "[tool.other]\n")
    assert find_project(inner) == tmp_path
    monkeypatch.chdir(inner)
    assert read_orders(tmp_path)[0].target == "../../sub/layers.py:Fast"


REFUSED = {
    "no table": ("[tool.other]", "has no table [tool.bnspec]: add one"),
    "no TOML": ("[tool.bnspec", "is no valid TOML"),
    "no targets": ("[tool.bnspec]\nprofile = 'smoke'", "targets of [tool.bnspec] is to be a list"),
    "one text": ("[tool.bnspec]\ntargets = 'a.py:B'", "targets of [tool.bnspec] is to be a list"),
    "none": ("[tool.bnspec]\ntargets = []", "targets of [tool.bnspec] is to be a list"),
    "a number": ("[tool.bnspec]\ntargets = [3]", "3 among the targets is neither a text nor a table with `target`"),
    "no target": ("[tool.bnspec]\ntargets = [{ seed = 3 }]", "is neither a text nor a table with `target`"),
    "unknown key": ("[tool.bnspec]\ntargets = ['a.py:B']\nprofil = 'smoke'", "no key 'profil': did you mean profile?"),
    "unknown key of one": (
        "[tool.bnspec]\ntargets = [{ target = 'a.py:B', dialekt = 'keras' }]",
        "target 'a.py:B': there is no key 'dialekt': did you mean dialect?",
    ),
    "wrong type": ("[tool.bnspec]\ntargets = ['a.py:B']\nseed = '3'", "seed = '3' is not a whole number"),
    "a truth for a number": ("[tool.bnspec]\ntargets = ['a.py:B']\nseed = true", "seed = True is not a whole number"),
    "numbers for texts": ("[tool.bnspec]\ntargets = ['a.py:B']\ndtype = [32]", "dtype = [32] is not a list of names"),
    "unknown profile": ("[tool.bnspec]\ntargets = ['a.py:B']\nprofile = 'smok'", "did you mean smoke?"),
}


@pytest.mark.parametrize(("text", "words"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_followed_is_said_in_one_line_with_the_file(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(UsageError, match=re.escape(words)) as caught:
        read_orders(write(tmp_path, text))
    assert str(tmp_path / "pyproject.toml") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_certify_without_a_target_judges_those_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    shutil.copy(LAYERS, tmp_path / "layers.py")
    shutil.copy(LAYERS, tmp_path / "layers_of_settings.py")
    (tmp_path / "package_of_norms.py").write_text("from layers_of_settings import Right as Other\n", encoding="utf-8")
    (tmp_path / "sub").mkdir()
    write(
        tmp_path,
        """
        [tool.bnspec]
        targets = ["layers.py:Right", "package_of_norms:Other", { target = "layers.py:Wrong", seed = 3 }]
        profile = "smoke"
        dtype = ["float32"]
        clause = ["F1", "R2"]
        """,
    )
    monkeypatch.chdir(tmp_path / "sub")
    assert main(["certify", "--json", "c.json", "--clause", "F1", "--arg", "eps=0.5"]) == 1
    targets = json.loads(Path("c.json").read_text(encoding="utf-8"))["targets"]
    assert [(t["target"], t["verdict"], t["seed"]) for t in targets] == [
        ("../layers.py:Right", "conforms", 0),
        ("package_of_norms:Other", "conforms", 0),
        ("../layers.py:Wrong", "does not conform", 3),
    ]
    for target in targets:
        assert target["profile"] == "smoke"
        assert target["args"] == {"eps": 0.5}
        assert target["scope"]["dtypes"] == ["float32"]
        assert target["scope"]["clauses"] == ["F1"]
    again = re.search(r"again: bnspec (.*)", capsys.readouterr().out)
    assert again is not None
    assert "../layers.py:Wrong --arg eps=0.5 --clause F1 --case " in again[1]


def test_a_target_that_is_named_is_judged_as_if_there_were_no_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "[tool.bnspec]\ntargets = ['a.py:B']\nprofile = 'no such profile'")
    monkeypatch.chdir(tmp_path)
    quick = ("--profile", "smoke", "--dtype", "float32", "--clause", "F1")
    assert main(["certify", f"{LAYERS}:Right", *quick]) == 0
    assert "CONFORMS" in capsys.readouterr().out


def test_without_a_target_and_a_project_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["certify"]) == 2
    assert "no target is named, and no pyproject.toml from here upwards" in capsys.readouterr().err
