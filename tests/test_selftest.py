"""`bnspec selftest`: it tells survivors and false alarms, whatever the number of processes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bnspec import cli, selftest
from bnspec.mutants.diagnoses import SAID
from bnspec.mutants.page import say
from bnspec.mutants.record import Mutant, RightLayer
from bnspec.mutants.table import MUTANTS
from bnspec.selftest import UnknownLayer, select_layers, try_layer

ROOT = Path(__file__).parents[1]


def test_the_same_trials_in_any_number_of_processes(capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for workers in ("1", "2"):
        assert cli.main(["selftest", "tail-dropped", "numpy-two-pass", "-n", workers]) == 0
        told.append(re.sub(r" *[\d.]+ s\b", "", capsys.readouterr().out))
    assert told[0] == told[1]
    assert "1 of 1 wrong layers refused, 1 of 1 right ones conform" in told[0]


def test_a_survivor_and_a_false_alarm_are_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    right, wrong = select_layers(["numpy-two-pass"])[0], select_layers(["numpy-mode-of-the-backward"])[0]
    mislabelled = [
        Mutant("survives", "nothing", "a test", "torch module", right.target, ("F1",)),
        RightLayer("refused", "none", "numpy", wrong.target),
    ]
    monkeypatch.setattr(selftest, "select_layers", lambda *_: mislabelled)
    assert cli.main(["selftest"]) == 1
    out = capsys.readouterr().out
    assert "survivors: survives\nfalse alarms: refused\n" in out
    assert "0 of 1 wrong layers refused, 0 of 1 right ones conform" in out


def test_a_wrong_layer_is_left_at_its_first_failure_unless_the_matrix_or_the_page_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The page holds every trial."""
    page = tmp_path / "museum.md"
    counts = []
    for judged in ([], ["--page", str(page)]):
        assert cli.main(["selftest", "tail-dropped", "numpy-two-pass", *judged]) == 0
        out = capsys.readouterr().out
        row = next(line for line in out.splitlines() if " tail-dropped " in line)
        counts.append(len(row.partition(" s  ")[2].split()))
        assert ("clauses that refused nobody" in out) == ("right diagnosis: 1 of 1" in out) == bool(judged)
    assert 0 < counts[0] < counts[1]
    written = page.read_text()
    assert "1 of 1 wrong layers are refused (survivors: none); 1 of 1 right ones conform" in written
    row = next(line for line in written.splitlines() if line.startswith("| tail-dropped |"))
    assert "**F1**" in row
    assert "were missing" in row
    assert next(line for line in written.splitlines() if line.startswith("| numpy-two-pass |")).endswith("| conforms |")


def test_a_page_in_no_folder_is_refused_before_anything_is_tried(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["selftest", "tail-dropped", "--page", str(tmp_path / "none" / "museum.md")]) == 2
    out, err = capsys.readouterr()
    assert (out, "--page" in err) == ("", True)


def test_the_matrix_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["selftest", "numpy-integers-truncated", "--matrix"]) == 0
    assert "refused by B3 1\n" in capsys.readouterr().out


def test_layers_are_chosen_by_name_and_kind() -> None:
    assert all(isinstance(layer, RightLayer) for layer in select_layers([], "right"))
    assert {type(layer) for layer in select_layers([])} == {Mutant, RightLayer}
    with pytest.raises(UnknownLayer, match="did you mean tail-dropped"):
        select_layers(["tail-droped"])
    with pytest.raises(UnknownLayer, match="no right layer among these"):
        select_layers(["tail-dropped"], "right")


def test_a_layer_that_breaks_a_should_alone_is_judged_strictly() -> None:
    (layer,) = select_layers(["refused-after-count"])
    trial = try_layer(layer, "smoke", 0)
    assert trial.failed == ("B9",)
    assert not trial.is_off


# Diagnoses


def test_what_must_be_said_is_of_layers_that_there_are() -> None:
    assert {*SAID} <= {layer.id for layer in MUTANTS}
    assert len(SAID) >= 0.8 * len(MUTANTS)


def test_a_diagnosis_is_a_sentence_of_the_certificate_that_names_the_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    trial = try_layer(select_layers(["eps-outside"])[0], "smoke", 0, fail_fast=True)
    said = trial.diagnosis
    assert said in trial.sentences
    assert "eps were added outside the root" in str(said)
    monkeypatch.setitem(SAID, "eps-outside", "eps were left out of the backward")
    assert trial.diagnosis is None
    assert say(trial).startswith("not said; ")
    monkeypatch.delitem(SAID, "eps-outside")
    assert trial.diagnosis is None


def test_the_page_in_docs_is_of_the_museum_as_it_is() -> None:
    rows = re.findall(r"^\| ([a-z0-9-]+) \|", (ROOT / "docs/museum.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert [row for row in rows if row not in ("layer", "clause")] == [layer.id for layer in select_layers([])]
