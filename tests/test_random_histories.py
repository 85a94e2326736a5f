"""S5: histories that are drawn, acted out, judged, shrunk, and told as a script."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import hypothesis
import numpy as np
import pytest
import torch
from bnspec.conformance.acting import Stage
from bnspec.conformance.experiments import random_history
from bnspec.conformance.experiments.history_record import Held, RandomHistoryRecord
from bnspec.conformance.judges.random_history import judge_s5
from bnspec.conformance.literals import lives

import bnspec
from bnspec.api import make_subject
from bnspec.cases.acts import ACTS, keep_possible, split, tell_history
from bnspec.cases.case import AddressError, Case, parse_address
from bnspec.cases.histories import draw_acts
from bnspec.certificate.terminal import render
from bnspec.engine.plan import Request
from bnspec.layers.protocol import Gradients
from bnspec.layers.target import load_target

EVERYTHING = frozenset(ability for act in ACTS.values() for ability in act.needs)


def play(*acts: str, target: Any = torch.nn.BatchNorm1d, momentum: float | None = 0.3) -> RandomHistoryRecord:
    subject = make_subject(target, Request(), {}, "a layer")[0]
    case = Case("random_history", "float32", (4, 3), 0.1, momentum, acts=acts)
    return random_history.act_random_history(Stage(subject, case, "cpu"))


def test_every_act_of_the_table_can_be_played() -> None:
    assert set(random_history._ACTS) == set(ACTS)


def test_every_act_is_drawn_where_it_is_offered() -> None:
    seen = Counter[str]()

    @hypothesis.seed(0)
    @hypothesis.settings(max_examples=300, database=None, deadline=None)
    @hypothesis.given(draw_acts(EVERYTHING, 1, positions=True))
    def run(acts: tuple[str, ...]) -> None:
        seen.update(split(written)[0] for written in acts)

    run()
    assert set(seen) == set(ACTS)


def test_the_literal_histories_hold_every_act_but_recomputation() -> None:
    told = {split(written)[0] for case in lives("random_history") for written in case.acts}
    assert told == ACTS.keys() - {"recompute"}
    assert {len(case.shape) for case in lives("random_history")} == {2, 3, 4, 5}


def test_an_act_that_is_not_possible_is_left_out() -> None:
    acts = ("answer_first", "keep3", "answer_both", "answer_last", "answer_last", "keep2", "convert", "answer_first")
    assert keep_possible(acts, EVERYTHING) == ("keep3", "answer_last", "keep2", "convert")
    assert keep_possible(("train3", "reset"), frozenset()) == ("train3",)


def test_a_history_has_an_address() -> None:
    case = Case("random_history", "float32", (4, 3), 0.1, 0.3, acts=("train3", "copy", "evaluate2"))
    assert parse_address(case.address()) == case
    assert case.address().endswith("acts=train3.copy.evaluate2")


@pytest.mark.parametrize("written", ["dance", "train", "copy3", "train3x"])
def test_an_act_that_there_is_not_is_refused(written: str) -> None:
    with pytest.raises(AddressError, match="is no act of a history"):
        parse_address(f"random_history/float32/4x3/eps=0.1,momentum=0.3,acts={written}")


def test_a_history_is_told_as_a_script() -> None:
    case = Case("random_history", "float32", (4, 3), 0.1, 0.3, acts=("train1", "copy", "evaluate33"))
    assert list(tell_history(case)) == [
        " 1. a training batch of 1 example, and its backward",
        " 2. a copy takes its place",
        " 3. an evaluation of 33 examples, and its backward",
    ]


@pytest.mark.parametrize("momentum", [0.3, None])
@pytest.mark.parametrize("name", sorted(ACTS))
def test_each_act_of_torch_is_right_and_says_something(name: str, momentum: float | None) -> None:
    act = ACTS[name]
    written = f"{name}5" if act.is_sized else name
    record = play("train3", "keep4", "keep2", written, "train2", "evaluate3", momentum=momentum)
    assert [step.error for step in record.steps] == [None] * 6
    step = record.steps[3]
    assert step.calls or step.answers or step.states
    judged = judge_s5(record)
    assert judged.informative
    assert not judged.failed, judged


@pytest.mark.parametrize(
    "acts",
    [
        ("keep3", "train_unrecorded3", "answer_first"),  # freezes gamma and beta while a pass waits for its backward
        ("keep_evaluation3", "train4", "keep2", "answer_first"),  # writes the buffers that an evaluation has read
    ],
)
def test_what_is_no_fault_of_the_layer_is_none(acts: tuple[str, ...]) -> None:
    judged = judge_s5(play(*acts))
    assert not judged.failed, judged


def break_output(record: RandomHistoryRecord) -> None:
    played = record.steps[1].calls[0].played
    record.steps[1].calls[0] = replace(
        record.steps[1].calls[0], played=replace(played, y=replace(played.y, value=played.y.get() + 1e-3))
    )


def break_gradient(record: RandomHistoryRecord) -> None:
    answer = record.steps[0].answers[0]
    found = answer.gradients.get()[0]
    assert found.x is not None
    broken = Gradients(found.x * np.float32(1.001), found.gamma, found.beta)
    record.steps[0].answers[0] = replace(answer, gradients=replace(answer.gradients, value=(broken,)))


def break_state(record: RandomHistoryRecord) -> None:
    held = record.steps[2].states[0]
    record.steps[2].states[0] = replace(held, observed=replace(held.observed, batches=99))


def break_successor(record: RandomHistoryRecord) -> None:
    held = record.steps[-1].states[-1]
    assert held.of == " of a layer that was replaced"
    assert held.observed.running_var is not None
    changed = replace(held.observed, running_var=held.observed.running_var + 1)
    record.steps[-1].states[-1] = Held(changed, held.wanted, held.of)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (break_output, "y in act 2, evaluate"),
        (break_gradient, "dx in act 1, train"),
        (break_state, "number of batches in act 3, copy"),
        (break_successor, "running_var in act 4, train of a layer that was replaced"),
    ],
)
def test_whatever_is_off_is_found_where_it_is(damage: Any, words: str) -> None:
    record = play("train3", "evaluate2", "copy", "train4")
    assert not judge_s5(record).failed
    damage(record)
    judged = judge_s5(record)
    assert judged.failed
    assert judged.quantity.startswith(words)


def test_an_output_that_changes_later_is_found() -> None:
    record = play("train3", "evaluate2")
    first = record.outputs[0]
    changed = replace(first, later=replace(first.later, value=first.later.get() + 1))
    judged = judge_s5(replace(record, outputs=(changed, *record.outputs[1:])))
    assert judged.failed
    assert judged.quantity.startswith("y of act 1, read again at the end")


def test_a_failing_history_shrinks_to_what_it_takes() -> None:
    layer = load_target("bnspec.mutants.torch_histories:CopyForgetsTuning").obj
    certificate = bnspec.certify(layer, profile="smoke", clauses=("S5",), dtypes=("float32",))
    told = [line.strip() for line in render(certificate).splitlines()]
    at = next(place for place, line in enumerate(told) if line.startswith("1. "))
    script = [line for line in told[at:] if line[:1].isdigit()]
    assert any("eps and momentum are set to others" in line for line in script)
    assert any("a copy takes its place" in line for line in script)
    assert len(script) < 20
