"""The museum in other layouts and shapes: what is wrong where a batch is not contiguous, or its shape is special.

As in the other tests of the museum, torch's own module plays the same scenes, on contiguous copies of the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from bnspec.mutants.record import Mutant, RightLayer
from bnspec.mutants.table import RIGHT_LAYERS
from bnspec.mutants.table_layouts import LAYOUTS
from tests.mutant_stage import (
    NumPy,
    Trace,
    by_id,
    collect,
    deviations,
    drawn,
    exactly,
    maker,
    one_pass,
    ready,
    torch_own,
)

RANKS = (2, 3, 4, 5)
SHAPES = {2: (6, 4), 3: (6, 4, 3), 4: (6, 4, 3, 2), 5: (6, 4, 3, 2, 5)}
TORCH_INSIDE = {"torch-any-rank", "torch-wrapped"}
Make = Callable[..., Any]
Scene = Iterator[tuple[str, Any]]


# ---- layouts, each a way to lay out the same values
def reversed_axes(x: Tensor) -> Tensor:
    order = tuple(reversed(range(x.ndim)))
    return x.permute(order).contiguous().permute(order)


def every_second(x: Tensor) -> Tensor:
    return torch.stack((x, torch.full_like(x, 99)), dim=-1)[..., 0]


def after_an_offset(x: Tensor) -> Tensor:
    return torch.cat((torch.full_like(x[:1], 99), x))[1:]


def channels_last(x: Tensor) -> Tensor:
    return x.movedim(1, -1).contiguous().movedim(-1, 1)


LAYOUTS_OF: dict[str, Callable[[Tensor], Tensor]] = {
    "contiguous": lambda x: x,
    "with reversed axes": reversed_axes,
    "every second": every_second,
    "after an offset": after_an_offset,
}


def play_layouts(make: Make, rank: int) -> Scene:
    """Values are the same in each layout, so that torch can be asked for those of a contiguous copy."""
    x, dy = drawn(SHAPES[rank], 1), drawn(SHAPES[rank], 2)
    for name, lay_out in LAYOUTS_OF.items():
        for training in (True, False):
            subject = ready(make, 4)
            yield from one_pass(subject, "L1", name, lay_out(x.clone()), dy, training)
            subject = ready(make, 4)
            yield from one_pass(subject, "L5", f"dy {name}", x.clone(), lay_out(dy.clone()), training)
    for training in (True, False):
        repeated = x[:1].clone().expand(x.shape)
        yield from one_pass(ready(make, 4), "L1", "expanded", repeated, dy, training)
        repeated = dy[:1].clone().expand(dy.shape)
        yield from one_pass(ready(make, 4), "L5", "dy expanded", x.clone(), repeated, training)
        subject = ready(make, 4)
        subject.stride()
        yield from one_pass(subject, "L5", "parameters and buffers strided", x.clone(), dy, training)
        subject = ready(make, 4)
        options = {"writeable": False} if isinstance(subject, NumPy) else {}
        yield from one_pass(subject, "L1", "read-only", x.clone(), dy, training, **options)
        if rank >= 4:
            yield from one_pass(ready(make, 4), "L2", "channels last", channels_last(x.clone()), dy, training)
    if rank >= 4 and not isinstance(subject, NumPy):
        subject.run(channels_last(x.clone()), True)
        yield "L6 strides of y", subject.y.stride() == subject.x.stride()
        odd = channels_last(reversed_axes(drawn((6, 1, *SHAPES[rank][2:]), 1)).movedim(1, -1)).movedim(-1, 1)
        odd = odd.as_strided(odd.shape, (odd.stride(0), 1, *odd.stride()[2:]))
        yield from one_pass(ready(make, 1), "L7", "one channel of stride 1", odd, dy[:, :1], True)


def play_shapes(make: Make, rank: int) -> Scene:
    rest = (3, 2, 5)[: rank - 2]
    shapes = {"C = 1": (5, 1, *rest), "N = C": (4, 4, *rest), "all different": (7, 4, *rest)}
    if rank > 2:
        shapes |= {"N = 1": (1, 4, *rest), "D1 = C": (5, 3, *rest), "all alike": (3,) * rank}
    for name, shape in shapes.items():
        for training in (True, False):
            subject = ready(make, shape[1])
            yield from one_pass(subject, "L3", name, drawn(shape, 3), drawn(shape, 4), training)
    for clause in ("F1", "F6", "L4"):
        subject = ready(make, 4)
        yield from one_pass(subject, clause, f"rank {rank}", drawn(SHAPES[rank], 5), drawn(SHAPES[rank], 6), True)


def play_missing_values(make: Make, rank: int) -> Scene:
    """A NaN in an evaluated batch, for the layers here that clean it."""
    x = drawn(SHAPES[rank], 1)
    x[0, 0] = torch.nan
    before = exactly(x)
    subject = ready(make, 4)
    yield "N6 y of NaN", subject.run(x, False)
    yield "F7 x", exactly(subject.x) == before


def play(make: Make, rank: int) -> Trace:
    scenes = (play_layouts, play_shapes, play_missing_values)
    return collect(seen for scene in scenes for seen in scene(make, rank))


@cache
def own(rank: int) -> Trace:
    return play(torch_own, rank)


@pytest.mark.parametrize("entry", RIGHT_LAYERS, ids=by_id)
def test_a_right_layer_agrees_in_every_layout(entry: RightLayer) -> None:
    for rank in RANKS:
        # torch 2.13 (CPU) reads strided parameters and buffers as dense in the backward at rank 2
        of_torch = {"L5"} if entry.id in TORCH_INSIDE and rank == 2 else set()
        assert deviations(play(maker(entry), rank), own(rank)) <= {"L6"} | of_torch  # L6 is of level SHOULD


@pytest.mark.parametrize("entry", LAYOUTS, ids=by_id)
def test_a_wrong_layer_deviates_in_its_clauses(entry: Mutant) -> None:
    found = {rank: set(entry.clauses) & deviations(play(maker(entry), rank), own(rank)) for rank in RANKS}
    assert tuple(rank for rank in RANKS if found[rank]) == entry.ranks
    assert set().union(*found.values()) == set(entry.clauses)
