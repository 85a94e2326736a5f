"""The run at length, in brief: right layers stay inside, and what is wrong is found, or the run would prove nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bnspec.spec import bounds
from bnspec.spec.formats import PRECISIONS
from tests.bounds import at_length
from tests.bounds.algorithms import divide, two_pass
from tests.bounds.at_length import SHARES, Extent
from tests.bounds.channels import EVALUATION, TRAINING, try_channels
from tests.bounds.climbing import CLIMBERS, climb
from tests.bounds.layers import RIGHT, Right, by, serving, stepwise
from tests.bounds.page import Measured, render_chapter, replace_chapter
from tests.bounds.populations import ALL_KINDS, draw_channels
from tests.bounds.relations import try_relations
from tests.bounds.tally import Tally

Array = NDArray[Any]
EACH = pytest.mark.parametrize("precision", PRECISIONS)
SMALL = Extent(channels=300, seed=7, generations=1, populations=1, seeds=0, longest=20)


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def try_layer(precision: str, name: str, right: Right, turns: int = 6) -> Tally:
    tally = Tally()
    for turn in range(turns):
        try_channels(precision, 3, turn, 60, tally, longest=200, layers={name: right})
    return tally


# ---- right layers
@EACH
def test_right_layers_stay_inside_in_every_quantity(precision: str) -> None:
    tally = Tally()
    for turn in range(6):
        try_channels(precision, 5, turn, 40, tally, longest=60)
    assert not tally.beyond, "\n".join(tally.beyond[:10])
    assert tally.inputs == {precision: 240}
    told = {(key[2], key[3]) for key, spread in tally.spreads.items() if spread.count}
    assert {("own", q) for q in TRAINING} | {("any", q) for q in TRAINING} <= told
    assert {("any", f"evaluation: {q}") for q in EVALUATION} <= told
    assert {key[1] for key in tally.select(None, None, "own", "y")} == set(serving(precision))


@EACH
def test_climbing_goes_up_and_stays_inside(precision: str) -> None:
    start, end = Tally(), Tally()
    for name in ("two passes, sums in order", "F.batch_norm, contiguous"):
        climb(precision, name, 11, 0, start)
        climb(precision, name, 11, 20, end)
    assert not end.beyond, "\n".join(end.beyond[:10])
    before, after = (sum(s.largest for s in tally.spreads.values()) for tally in (start, end))
    assert after > before


def test_relations_are_tried_and_stay_inside() -> None:
    tally = Tally()
    try_relations("torch.nn:BatchNorm1d", 1, tally, ("F4", "F2"))
    assert not tally.beyond
    assert {key[3] for key in tally.spreads} == {"F4", "F2"}


# ---- what is wrong
def without_the_last(x: Array, _: Array) -> tuple[Array, Array]:
    mean = two_pass(x, _)[0]
    return mean, two_pass(x[:, :-1], _)[1]


def in_half(x: Array, _: Array) -> tuple[Array, Array]:
    """The sums, too, in the format of x."""

    def add(values: Array) -> Array:
        total = values[:, 0].copy()
        for k in range(1, values.shape[1]):
            total = total + values[:, k]
        return total

    mean = divide(add(x), x.shape[1])
    return mean, divide(add((x - mean[:, None]) ** 2), x.shape[1])


@EACH
def test_a_variance_without_its_last_value_is_found(precision: str) -> None:
    tally = try_layer(precision, "wrong", Right("twopass", by(without_the_last)))
    for quantity in ("biased", "y", "running_var"):
        for judged in ("own", "any"):
            worst = tally.worst(precision, "wrong", judged, quantity)
            assert worst is not None
            assert worst[1].largest > 1, (quantity, judged)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_sums_in_half_precision_are_found(precision: str) -> None:
    tally = try_layer(precision, "wrong", Right("twopass", stepwise(in_half)))
    assert tally.beyond
    right = try_layer(precision, "right", RIGHT["two passes, step by step"])
    assert not right.beyond


def tighten_accumulation(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Callable[[Any, float], Any] = bounds.accumulate
    monkeypatch.setattr(bounds, "accumulate", lambda n, u: 0.05 * honest(n, u))


def tighten_storage(monkeypatch: pytest.MonkeyPatch) -> None:
    honest: Callable[[Any, Any], tuple[float, float]] = bounds.Rounding.extra
    monkeypatch.setattr(bounds.Rounding, "extra", lambda r, of: tuple(0.2 * each for each in honest(r, of)))


@pytest.mark.parametrize(
    ("precision", "tighten"),
    [("float32", tighten_accumulation), ("mixed_float16", tighten_storage), ("bfloat16", tighten_storage)],
    ids=["float32", "mixed_float16", "bfloat16"],
)
def test_bounds_that_are_too_tight_are_found(precision: str, tighten: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tighten(monkeypatch)
    assert try_layer(precision, "right", RIGHT["two passes, sums in order"], 4).beyond
    climbed = Tally()
    climb(precision, "two passes, sums in order", 11, 20, climbed)
    assert climbed.beyond


def test_a_layer_that_gives_no_number_is_found() -> None:
    spoiled = Right("twopass", lambda c: {"y": np.full_like(RIGHT["Welford"].train(c)["y"], np.nan)})
    worst = try_layer("float32", "wrong", spoiled, 1).worst("float32", "wrong", "any", "y")
    assert worst is not None
    assert worst[1].largest == np.inf


# ---- the run itself
def test_the_populations_hold_every_kind_and_length() -> None:
    drawn = [draw_channels("float32", 0, turn, 60) for turn in range(40)]
    assert {kind for c in drawn for kind in c.kinds} == set(ALL_KINDS)
    lengths = [c.batch.x.shape[1] for c in drawn]
    assert min(lengths) == 2
    assert max(lengths) > 300
    assert {c.batch.eps for c in drawn} >= {0.0, 1e-12, 1.0}
    again = draw_channels("float32", 0, 7, 60).batch
    assert again.x.tobytes() == drawn[7].batch.x.tobytes()
    assert len(set(CLIMBERS) & set(RIGHT)) == len(CLIMBERS)
    assert set(SHARES) == set(PRECISIONS)
    assert sum(SHARES.values()) == pytest.approx(1)


def test_quantiles_are_those_of_the_ratios() -> None:
    ratios = 10 ** np.random.default_rng(1).uniform(-6, 0, 20_000)
    tally, other = Tally(), Tally()
    tally.add(("a", "b"), ratios[:15_000], "first")
    other.add(("a", "b"), np.append(ratios[15_000:], np.nan), "second")
    tally.join(other)
    spread = tally.spreads["a", "b"]
    assert spread.count == len(ratios)
    assert spread.largest == ratios.max()
    for share in (0.5, 0.999):
        assert spread.quantile(share) == pytest.approx(np.quantile(ratios, share), rel=0.01)


def test_the_run_writes_its_chapter_and_fails_where_a_ratio_exceeds_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(at_length, "BATCH", 40)
    measured = at_length.run(SMALL, 1, "the command")
    assert not measured.beyond
    page = tmp_path / "bounds.md"
    page.write_text("# title\n\nabove\n\n## measured\n\nof yesterday\n", encoding="utf-8")
    replace_chapter(page, render_chapter(measured, date(2026, 11, 24)))
    text = page.read_text(encoding="utf-8")
    assert text.startswith("# title\n\nabove\n\n## measured\n")
    assert "of yesterday" not in text
    assert all(f"{precision}, " in text for precision in PRECISIONS)
    assert "No ratio exceeded 1" in text
    tight = Tally()
    tight.add(("float32", "Welford", "own", "y"), np.array([0.5, 1.5]), "somewhere")
    found = replace(measured, channels=tight)
    assert "1 ratios exceeded 1" in render_chapter(found, date(2026, 11, 24))
    monkeypatch.setattr(at_length, "run", lambda *_: found)
    assert at_length.main(["--channels", "1"]) == 1
    assert "float32, Welford, own, y: 1.5 bounds off at somewhere channel 1" in capsys.readouterr().err
    monkeypatch.setattr(at_length, "run", lambda *_: measured)
    assert at_length.main(["--write", str(page)]) == 0


def test_the_command_of_the_page_is_one_that_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[1] / "docs" / "bounds.md").read_text(encoding="utf-8")
    line = next(line for line in page.splitlines() if "-m tests.bounds.at_length" in line)
    asked: list[Extent] = []

    def stop(extent: Extent, *_: Any) -> Measured:
        asked.append(extent)
        raise KeyboardInterrupt

    monkeypatch.setattr(at_length, "run", stop)
    with pytest.raises(KeyboardInterrupt):
        at_length.main(line.partition("at_length")[2].split())
    assert asked[0].channels >= 1_000_000
