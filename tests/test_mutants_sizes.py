"""The museum at other sizes: two values, remainders, long batches, many channels.

Played in float64 with all information in one place, so that a value that is lost or counted twice changes the result.
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
from bnspec.mutants.table_sizes import SIZES
from tests.mutant_stage import Trace, by_id, collect, deviations, drawn, maker, one_pass, ready, torch_own

Make = Callable[..., Any]
Scene = Iterator[tuple[str, Any]]


def late(m: int) -> Tensor:
    """Zeros and then ones; small integers with an outlier at the end: what a lost tail or block would take away."""
    steps = torch.arange(m, dtype=torch.float64)
    outlier = steps % 7
    outlier[-1] = 1000
    return torch.stack(((steps >= m - (m + 7) // 8).double(), outlier), dim=1)


def play_sizes(make: Make) -> Scene:
    for m in (2, 3, 33, 127, 129, 512, 1025, 2049, 4099, 33000, 70001):
        dy = drawn((m, 2), 1)
        dy[:, 0], dy[-1, 0] = 0, 1
        yield from one_pass(ready(make, 2), "N5", f"m {m}", late(m), dy, True)
    for channels in (1, 2, 3, 17, 32, 33, 65, 1025):
        x, dy = drawn((3, channels), 2), drawn((3, channels), 3)
        yield from one_pass(ready(make, channels), "N5", f"C {channels}", x, dy, True)


def play_small_sizes(make: Make) -> Scene:
    """The same by quantity, where the active clauses must see it."""
    for m, channels in ((2, 3), (3, 3), (67, 3), (131, 3), (5, 35)):
        shape = (m, channels)
        for name, value in one_pass(ready(make, channels), "all", str(shape), drawn(shape, 1), drawn(shape, 2), True):
            kind = {"y": "F1", "dx": "G1", "dgamma": "G1", "dbeta": "G1"}.get(name.split(": ")[1], "R2")
            yield f"{kind} {name}", value


def play(make: Make) -> Trace:
    return collect(seen for scene in (play_sizes, play_small_sizes) for seen in scene(make))


@cache
def own() -> Trace:
    return play(torch_own)


@pytest.mark.parametrize("entry", RIGHT_LAYERS, ids=by_id)
def test_a_right_layer_agrees_at_every_size(entry: RightLayer) -> None:
    assert deviations(play(maker(entry)), own()) == set()


@pytest.mark.parametrize("entry", SIZES, ids=by_id)
def test_a_wrong_layer_deviates_in_its_clauses(entry: Mutant) -> None:
    assert set(entry.clauses) <= deviations(play(maker(entry)), own())
