"""Tables and judges agree; cases are addresses; blocks are nested; findings shrink and rerun."""

from __future__ import annotations

import gc
import importlib
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from bnspec.conformance.table import EXPERIMENTS, IN_HASTE, judged_clauses
from hypothesis import Phase, given
from hypothesis import strategies as st

from bnspec.api import make_subject
from bnspec.cases.batches import make_batch, make_state
from bnspec.cases.case import AddressError, Case, parse_address
from bnspec.cases.fills import FILLS
from bnspec.cases.layouts import LAYOUTS, channel_major, from_channel_major, lay_out, repeat
from bnspec.cases.strategies import FILL_WEIGHTS, Scope, draw_cases, palette
from bnspec.engine.blocks import Block, draw, literal_cases, run_block, seed_of
from bnspec.engine.collecting import RARELY, collecting_rarely
from bnspec.engine.judging import judge_case
from bnspec.engine.plan import Request, make_plan
from bnspec.engine.shrinking import shrink
from bnspec.engine.subject import Subject
from bnspec.layers.target import load_target
from bnspec.spec.clauses import CLAUSES

ROOT = Path(__file__).parents[1]
RANKS = Scope((2, 3, 4, 5))


def subject_of(target: str, dialect: str = "torch") -> Subject:
    return make_subject(load_target(target).obj, Request(dialect), {})[0]


def test_every_clause_that_is_not_planned_has_a_judge_and_every_judge_a_clause() -> None:
    assert judged_clauses() == {clause.id for clause in CLAUSES.values() if clause.status != "planned"}


@given(st.sampled_from(sorted(EXPERIMENTS)), st.sampled_from(("float32", "float64")), st.integers(0, 70), st.data())
def test_an_address_is_the_case(experiment: str, dtype: str, block: int, data: st.DataObject) -> None:
    case = data.draw(draw_cases(experiment, dtype, RANKS, block))
    again = parse_address(case.address())
    assert again == case
    assert make_batch(again).x.tobytes() == make_batch(case).x.tobytes()


@pytest.mark.parametrize("text", ["", "training", "training/float32/2x3/eps=0", "a/b/2x3/nothing=1", "a/b/x/eps=1"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(AddressError, match="is no case address"):
        parse_address(text)


@given(st.sampled_from(sorted(EXPERIMENTS)), st.integers(0, 70), st.data())
def test_drawn_cases_can_be_normalised(experiment: str, block: int, data: st.DataObject) -> None:
    case = data.draw(draw_cases(experiment, "float32", RANKS, block))
    state = make_state(case)
    assert case.count >= 2
    assert all(len(p) == case.channels for p in (state.gamma, state.beta, state.running_mean, state.running_var))  # type: ignore[arg-type]  # it has all of them
    assert np.isfinite(make_batch(case).x).all()
    if case.channels > 2:
        assert np.min(state.gamma) < 0  # type: ignore[arg-type]  # it has all of them
        assert 0 in state.gamma  # type: ignore[operator]  # it has all of them


def test_palettes_meet_sizes_and_coincidences() -> None:
    """What random draws seldom meet is enumerated: over eight blocks, and much of it in the first."""
    shapes = {shape for block in range(8) for shape in palette(RANKS, block, 1100)}
    counts = {int(np.prod(shape)) // shape[1] for shape in shapes}
    assert counts >= {2, 3, 31, 33, 65, 257, 127, 63, 129, 513, 1025}
    assert {shape[1] for shape in shapes} >= {1, 33, 65, 129, 257}
    first = palette(RANKS, 0, 1100)
    assert {len(shape) for shape in first} == {2, 3, 4, 5}
    assert any(shape[0] == shape[1] for shape in shapes)
    assert any(shape[0] == 1 for shape in first)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("shape", [(3, 2), (2, 3, 4), (2, 3, 4, 5), (1, 3, 2), (2, 1, 3, 2)])
def test_layouts_keep_values(layout: str, shape: tuple[int, ...]) -> None:
    a = np.arange(np.prod(shape), dtype=np.float32).reshape(shape)
    a = repeat(a, layout)
    laid_out = lay_out(a, layout)
    assert np.array_equal(laid_out, a)
    assert np.array_equal(from_channel_major(channel_major(laid_out), shape), a)
    same = ("contiguous", "offset", "read_only", "prefix")
    if min(shape) > 1 and layout not in same and not (layout == "channels_last" and len(shape) == 2):
        assert not laid_out.flags.c_contiguous


def test_fills_meet_the_dangers() -> None:
    assert set(FILLS) == set(FILL_WEIGHTS)
    batch = {
        fill: channel_major(make_batch(Case("training", "float32", (40, 6), 1e-3, 0.3, fill)).x).astype(np.float64)
        for fill in FILLS
    }
    ratio = np.abs(batch["offset"].mean(1)) / batch["offset"].std(1)
    assert ratio.min() > 9
    assert ratio.max() > 60
    assert (batch["constant"].std(1)[::2] == 0).all()
    assert (batch["tiny"].std(1) < 0.2 * 1e-3**0.5).all()
    assert (batch["late"][:, :-3] == 0).all()
    assert (batch["late"][:, -1] == 1).all()
    near = batch["spread"].var(1) / 1e-3
    assert ((near > 0.005) & (near < 200)).any()


def test_the_upstream_gradient_is_not_in_the_span_of_one_and_xhat() -> None:
    """There the true dx is zero, and wrong ones pass."""
    case = Case("training", "float64", (20, 4), 1e-3, 0.3)
    batch = make_batch(case)
    x, dy = channel_major(batch.x), channel_major(batch.dy)
    for channel in range(4):
        basis = np.stack([np.ones(20), x[channel]], axis=1)
        rest = dy[channel] - basis @ np.linalg.lstsq(basis, dy[channel], rcond=None)[0]
        assert np.linalg.norm(rest) > 0.2 * np.linalg.norm(dy[channel])


def test_smoke_is_a_part_of_standard() -> None:
    subject = subject_of("torch.nn:BatchNorm1d")
    smoke, standard = (make_plan(subject, Request(profile=name)).blocks() for name in ("smoke", "standard"))
    assert set(smoke) < set(standard)
    enumerated = [block for block in smoke if not EXPERIMENTS[block.experiment].cases]
    later = {block for block in standard if EXPERIMENTS[block.experiment].first}
    twins = [b for b in standard if EXPERIMENTS[b.experiment].alike and b.dtype == "float32" and b not in later]
    assert len(standard) == 8 * (len(smoke) - len(enumerated)) + len(enumerated) + len(later) + len(twins)


def test_smoke_asks_what_is_alike_in_float64_alone_where_both_are_asked_for() -> None:
    subject = subject_of("torch.nn:BatchNorm1d")
    both, one = (make_plan(subject, Request(profile="smoke", dtypes=d)) for d in ((), ("float32",)))
    assert {block.dtype for block in both.blocks() if block.experiment == "random_history"} == {"float64"}
    assert both.dtypes_of("S5") == ("float64",)
    assert both.dtypes_of("F1") == subject.promises.dtypes
    assert {block.dtype for block in one.blocks() if block.experiment == "random_history"} == {"float32"}
    assert one.dtypes_of("S5") == ("float32",)
    standard = make_plan(subject, Request(profile="standard"))
    assert standard.dtypes_of("S5") == ("float32", "float64")


@pytest.mark.parametrize("target", ["torch.nn:BatchNorm1d", "torch.nn:BatchNorm2d", "torch.nn:BatchNorm3d"])
def test_a_history_by_hand_wraps_counters_of_batches_in_8_bits_and_of_values_in_16(target: str) -> None:
    first = literal_cases(subject_of(target), Block("cumulative", "float64", "cpu", 0))
    assert any(case.steps > 127 and case.steps * case.count > 65535 for case in first)


@pytest.mark.parametrize("rank", [2, 3, 4, 5])
def test_a_layer_of_one_rank_meets_every_case_by_hand_at_that_rank(rank: int) -> None:
    subject = subject_of("torch.nn:BatchNorm2d")
    several = replace(subject, promises=replace(subject.promises, ranks=(2, 3, 4, 5)))
    one = replace(subject, promises=replace(subject.promises, ranks=(rank,)))
    by_hand = {name: e for name, e in EXPERIMENTS.items() if e.literals("float64")}
    assert len(by_hand) > 10
    for name, experiment in by_hand.items():
        block = Block(name, "float64", "cpu", experiment.first)
        moved, own = literal_cases(one, block), literal_cases(several, block)
        assert [(c.shape[1], c.count, c.fill) for c in moved] == [(c.shape[1], c.count, c.fill) for c in own]
        assert {len(case.shape) for case in moved} <= {rank}


def test_cases_do_not_depend_on_what_the_modules_of_a_user_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hypothesis mixes in constants of modules that are not installed: what a seed means must not hang on them."""
    subject, cases = subject_of("torch.nn:BatchNorm2d"), [list[Case](), list[Case]()]

    def draw_some(found: list[Case]) -> None:
        for index in range(8):
            draw(subject, Block("training", "float64", "cpu", index), 5, found.append, (Phase.generate,))

    draw_some(cases[0])
    constants = ", ".join(str(number) for number in range(101, 60000, 130))
    (tmp_path / "a_users_module.py").write_text(f"HELD = [{constants}]")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("a_users_module")
    draw_some(cases[1])
    assert cases[0] == cases[1] != []


def test_in_haste_the_same_blocks_run_in_another_order() -> None:
    subject = subject_of("torch.nn:BatchNorm1d")
    calm, hasty = (make_plan(subject, Request(profile="standard", fail_fast=f)).blocks() for f in (False, True))
    assert len(hasty) == len(calm)
    assert set(hasty) == set(calm)
    rounds = [block.index - EXPERIMENTS[block.experiment].first for block in hasty]
    assert rounds == sorted(rounds)
    first = [(block.experiment, block.dtype) for block, turn in zip(hasty, rounds, strict=True) if not turn]
    early = [pair for pair in IN_HASTE if pair in first]
    assert len(early) > 0.9 * len(IN_HASTE)  # the rest judges nothing here
    assert first[: len(early)] == early
    assert len(set(IN_HASTE)) == len(IN_HASTE)


def begun(target: str, block: Block, ending: frozenset[str] = frozenset()) -> list[str]:
    """The addresses of the cases that a block acts out."""
    addresses: list[str] = []
    run_block(subject_of(target), block, 0, frozenset(CLAUSES), ending, addresses.append)
    return addresses


@pytest.mark.parametrize(("experiment", "dtype"), [("unscaled", "float32"), ("headroom", "bfloat16")])
def test_the_simplest_case_is_judged_in_one_block_alone(experiment: str, dtype: str) -> None:
    first = EXPERIMENTS[experiment].first
    drawn = [begun("torch.nn:BatchNorm1d", Block(experiment, dtype, "cpu", first + index)) for index in range(3)]
    assert all(drawn)
    assert len({address for block in drawn for address in block}) == sum(map(len, drawn))


def test_a_failure_that_ends_a_run_ends_its_block() -> None:
    target, block = "bnspec.mutants.torch_modules:EpsStored", Block("history", "float32", "cpu", 0)
    whole, ended = (begun(target, block, ending) for ending in (frozenset[str](), frozenset({"R3"})))
    assert len(ended) < len(whole)
    assert ended == whole[: len(ended)]


def test_haste_follows_what_was_measured() -> None:
    page = (ROOT / "docs/where-examples-pay.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\w+) \| (\w+) \| \d+ ms \| \d+ \| \d+ \| (\d+) \|$", page, re.MULTILINE)
    assert tuple((experiment, dtype) for experiment, dtype, new in rows if int(new)) == IN_HASTE


def test_blocks_draw_different_cases_and_devices_the_same() -> None:
    seeds = {seed_of(Block("training", dtype, "cpu", b), s) for dtype in ("a", "b") for b in range(3) for s in (0, 1)}
    assert len(seeds) == 12
    assert seed_of(Block("training", "a", "cpu", 0), 0) == seed_of(Block("training", "a", "cuda:0", 0), 0)


def test_a_block_gives_the_same_result_again() -> None:
    subject, block = subject_of("torch.nn:BatchNorm1d"), Block("training", "float32", "cpu", 3)
    first, second = (run_block(subject, block, 5, {"F1", "G1"}) for _ in range(2))
    assert first == second
    assert first.tallies["F1"].executed > 10


def test_a_finding_shrinks_and_reruns_to_itself() -> None:
    subject, block = subject_of("bnspec.mutants.torch_modules:BiasedStored"), Block("training", "float64", "cpu", 1)
    first = run_block(subject, block, 0, {"R2"}).tallies["R2"].finding
    assert first is not None
    smallest = shrink(subject, block, 0, first)
    case = parse_address(smallest.case)
    assert case.count * case.channels <= 4
    judged = judge_case(subject, case, "cpu", {"R2"})["R2"]
    assert (judged.got, judged.wanted, judged.ratio) == (smallest.got, smallest.wanted, smallest.ratio)


class _Raises(torch.nn.BatchNorm1d):
    def forward(self, input: torch.Tensor) -> torch.Tensor:  # noqa: A002  # torch's own name
        if input.shape[0] == 5:
            raise RuntimeError("no fives")
        return super().forward(input)


def test_what_a_subject_raises_is_a_finding() -> None:
    subject = make_subject(_Raises, Request(), {})[0]
    judged = judge_case(subject, Case("training", "float32", (5, 3), 0.1, 0.3), "cpu", {"F1", "G1", "R2"})
    assert {clause: (j.crashed, j.got) for clause, j in judged.items() if clause != "R2"} == dict.fromkeys(
        ("F1", "G1"), (True, "raised RuntimeError: no fives")
    )


def test_the_garbage_collector_is_as_it_was_after_a_run() -> None:
    before = gc.get_threshold()
    with collecting_rarely():
        assert gc.get_threshold() == RARELY
    assert gc.get_threshold() == before
