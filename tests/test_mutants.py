"""The museum itself: its catalogue is consistent, its right layers are right, and its wrong ones really are wrong.

Judged without any part of the suite: torch's own modules in float64 play the same scenes, and what differs is counted
by family (F forward, R running statistics, E evaluation, G gradients). What needs scenes of its own, by clause, is in
the tests named test_mutants_*.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from bnspec.mutants.record import Mutant, RightLayer
from bnspec.mutants.table import MUTANTS, RIGHT_LAYERS
from bnspec.mutants.table_numpy import NUMPY
from bnspec.mutants.table_torch import TORCH
from bnspec.spec.clauses import CLAUSES
from tests.mutant_stage import FORMS, TorchModule, by_id, collect, differs, exactly, load_target

RANKS = (2, 3, 4, 5)
ACTIVE = {clause.id for clause in CLAUSES.values() if clause.status == "active"}
# No wrong layer of theirs is in the museum: L8 has torch itself for one, C1 to C6 those of tests/claim_layers.py, and
# B10, S7 and N7 those of tests/test_bad_input.py, test_isolation.py and test_grades.py.
ELSEWHERE = {"L8", "B10", "S7", "N7", "C1", "C2", "C3", "C4", "C5", "C6"}
LATER = {"D1"}
Trace = dict[str, Any]
NOT_IN_EVERY_FORM = ("needed", "momentum None", "num_batches_tracked")
TORCH_OWN = {2: torch.nn.BatchNorm1d, 3: torch.nn.BatchNorm1d, 4: torch.nn.BatchNorm2d, 5: torch.nn.BatchNorm3d}


class Data:
    """A batch with one outlier, an upstream gradient, parameters and buffers, none of them at a default."""

    def __init__(self, shape: tuple[int, ...], seed: int) -> None:
        random, channels = np.random.default_rng([seed, *shape]), shape[1]
        column = (1, channels, *[1] * (len(shape) - 2))
        scale = 10 ** random.uniform(-1, 0.7, channels)
        offset = random.uniform(-3, 3, channels) * scale
        x = random.standard_normal(shape) * scale.reshape(column) + offset.reshape(column)
        x.flat[0] += 30 * scale[0]
        self.x, self.dy = torch.from_numpy(x), torch.from_numpy(4 * random.standard_normal(shape) + 0.5)
        signs = random.choice([-1.0, 1.0], channels)
        gamma = signs * random.uniform(0.5, 2, channels)
        gamma[:3] = (-1.5, 0.0, 0.7)
        beta, running_mean = random.uniform(0.5, 2, channels), offset + scale * random.uniform(-2, 2, channels)
        self.state = {"gamma": gamma, "beta": beta, "running_mean": running_mean, "running_var": 2 * scale**2 + 0.1}


def shapes(rank: int) -> tuple[tuple[int, ...], ...]:
    """A plain shape, N = C, more than a block and a remainder, N = 1, and many channels."""
    rest = (2, 3, 1)[: rank - 2]
    long = (67, 3, *[1] * (rank - 2))
    single = ((1, 3, *(7, 2, 2)[: rank - 2]),) if rank > 2 else ()
    return (5, 3, *rest), (4, 4, *rest), long, (3, 35, *rest), *single


def scenes(make: Callable[[int, float, float | None], Any], rank: int) -> Iterator[tuple[str, Any]]:
    """Everything that is played, as (family and name, what was seen)."""
    make(3, 1e-5, 0.1).run(Data(shapes(rank)[0], 0).x, True)
    for name, buffer in make(3, 1e-5, 0.1).state().items():
        yield f"R initial {name}", buffer
    for shape in shapes(rank):
        yield from play_both_modes(make(shape[1], 0.03, 0.3), shape)
    shape = shapes(rank)[0]
    first, second = Data(shape, 1), Data((shape[0] + 2, *shape[1:]), 2)
    some = make(3, 1e-5, 0.3)
    for momentum in some.momenta:
        subject = make(3, 1e-5, momentum)
        subject.load(**first.state)
        for data in (first, second):
            subject.run(data.x.clone(), True)
        yield from ((f"R {name} at momentum {momentum}", buffer) for name, buffer in subject.state().items())
    for training in (True, False):
        yield from play_upstreams(some, first, training)
        for needs in some.subsets:
            some.load(**first.state)
            some.run(first.x.clone(), training, needs)
            where = f"{needs or 'nothing'} needed, training {training}"
            yield from named(f"G {where}", some.backward(first.dy.clone()))
            yield from ((f"R {name}, {where}", buffer) for name, buffer in some.state().items())


def play_both_modes(subject: Any, shape: tuple[int, ...]) -> Iterator[tuple[str, Any]]:
    """Two unequal training batches, then evaluations: again, in part, differentiated, and from another state."""
    larger = Data((shape[0] + 1, *shape[1:]), 2)
    for step, data in enumerate((Data(shape, 1), larger)):
        if step == 0:
            subject.load(**data.state)
        where = f"{shape}, batch {step}"
        y = subject.run(data.x.clone(), True)
        yield f"F y of {where}", y
        yield f"F dtype of {where}", str(y.dtype)
        yield f"F x after {where}", exactly(subject.x)
        yield from ((f"R {name} after {where}", buffer) for name, buffer in subject.state().items())
        yield from named(f"G {where}", subject.backward(data.dy.clone()))
        yield f"R {where} leaves nothing behind", subject.lets_go()
    for state in (None, Data(shape, 3).state):
        if state is not None:
            subject.load(**state)
        where = f"evaluation of {shape}, {'loaded' if state else 'learned'}"
        for name, x in (("all", larger.x), ("again", larger.x), ("a part", larger.x[:1])):
            yield f"E y of {name}, {where}", subject.run(x.clone(), False)
        subject.run(larger.x.clone(), False)
        yield from named(f"G {where}", subject.backward(larger.dy.clone()))
        yield from ((f"E {name} after {where}", buffer) for name, buffer in subject.state().items())


def play_upstreams(subject: Any, data: Data, training: bool) -> Iterator[tuple[str, Any]]:
    """Contiguous, transposed and expanded upstream gradients, and their bits afterwards."""
    for name, dy in (
        ("contiguous", data.dy.clone()),
        (
            "transposed",
            data.dy.permute(*reversed(range(data.dy.ndim))).contiguous().permute(*reversed(range(data.dy.ndim))),
        ),
        ("expanded", data.dy[:1].clone().expand(data.dy.shape)),
    ):
        subject.load(**data.state)
        subject.run(data.x.clone(), training)
        yield from named(f"G {name} dy, training {training}", subject.backward(dy))
        yield f"G bits of {name} dy, training {training}", exactly(subject.dy)


def named(where: str, gradients: tuple[Any, ...]) -> Iterator[tuple[str, Any]]:
    for name, gradient in zip(("dx", "dgamma", "dbeta"), gradients, strict=True):
        yield f"{where}: {name}", gradient


def play(form: Any, target: Any, rank: int) -> Trace:
    return collect(scenes(lambda *arguments: form(target, *arguments), rank))


@cache
def torch_own(rank: int) -> Trace:
    return play(TorchModule, TORCH_OWN[rank], rank)


def deviations(entry: Mutant | RightLayer, rank: int) -> list[str]:
    """What a layer does otherwise than torch's own module of that rank; what its form cannot play is left out."""
    own, seen = torch_own(rank), play(FORMS[entry.form], load_target(entry), rank)
    unplayed = {name for name in own if any(part in name for part in NOT_IN_EVERY_FORM)}
    assert own.keys() - unplayed <= seen.keys() <= own.keys()
    return [name for name, value in seen.items() if differs(value, own[name])]


@pytest.mark.parametrize("entry", RIGHT_LAYERS, ids=by_id)
def test_a_right_layer_agrees_with_torch(entry: RightLayer) -> None:
    assert {rank: deviations(entry, rank) for rank in RANKS} == {rank: [] for rank in RANKS}


@pytest.mark.parametrize("entry", [*TORCH, *NUMPY], ids=by_id)
def test_a_wrong_layer_deviates_where_it_says(entry: Mutant) -> None:
    found = {rank: deviations(entry, rank) for rank in RANKS}
    assert tuple(rank for rank in RANKS if found[rank]) == entry.ranks
    for rank in entry.ranks:
        assert {clause[0] for clause in entry.clauses} <= {name[0] for name in found[rank]}


def test_the_catalogue_is_consistent() -> None:
    entries: tuple[Mutant | RightLayer, ...] = (*MUTANTS, *RIGHT_LAYERS)
    assert len({e.id for e in entries}) == len({e.target for e in entries}) == len(entries)
    for mutant in MUTANTS:
        assert mutant.clauses, mutant.id
        assert set(mutant.clauses) <= CLAUSES.keys(), mutant.id
        assert mutant.what_is_wrong, mutant.id
        assert "#" in mutant.source or mutant.source.startswith(
            ("kernel habit: ", "slip of algebra: ", "teaching habit: ")
        )


def test_every_clause_has_a_wrong_layer() -> None:
    named = {clause for mutant in MUTANTS for clause in mutant.clauses}
    assert named >= ACTIVE - ELSEWHERE
    assert named == CLAUSES.keys() - LATER - ELSEWHERE


def test_the_catalogue_imports_no_framework() -> None:
    code = "import sys, bnspec.mutants.table; print(sorted({'torch', 'numpy'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
