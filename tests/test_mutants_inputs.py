"""The museum and its visitors: what layers make of input that is bad, empty, constant or not finite."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bnspec.mutants.record import Mutant, RightLayer
from bnspec.mutants.table import RIGHT_LAYERS
from bnspec.mutants.table_inputs import INPUTS
from tests.mutant_stage import (
    TorchFunction,
    Trace,
    attempt,
    by_id,
    collect,
    deviations,
    differs,
    drawn,
    exactly,
    maker,
    ready,
    torch_own,
)  # fmt: skip

TORCH_INSIDE = {"torch-any-rank", "torch-wrapped"}
Make = Callable[..., Any]
Scene = Iterator[tuple[str, Any]]

BAD: dict[str, tuple[str, Tensor]] = {
    "five channels": ("B1", drawn((6, 5), 1)),
    "three channels": ("B1", drawn((6, 3), 1)),
    "one channel": ("B1", drawn((6, 1), 1)),
    "one channel with positions": ("B1", drawn((6, 1, 3), 1)),
    "a vector": ("B2", torch.arange(4, dtype=torch.float64)),
    "rank 6": ("B2", torch.ones((2, 4, 1, 2, 1, 3), dtype=torch.float64)),
    "integers": ("B3", torch.arange(24).reshape(6, 4)),
    "complex": ("B3", torch.complex(drawn((6, 4), 1), drawn((6, 4), 2))),
}


def play_refusals(make: Make) -> Scene:
    for training in (True, False):
        for what, (clause, x) in BAD.items():
            if what == "rank 6" and make(4, 0.03, 0.3).__class__ is TorchFunction:
                continue  # a function takes every rank from 2 on
            yield from refusal(ready(make, 4), clause, f"{what}, training {training}", x, training)
        yield from refusal(ready(make, 1), "B1", f"three for one, training {training}", drawn((6, 3), 1), training)
    yield from refusal(ready(make, 4), "B4", "one value", drawn((1, 4), 1), True)
    yield from refusal(ready(make, 4), "B4", "one value with positions", drawn((1, 4, 1, 1), 1), True)


def refusal(subject: Any, clause: str, what: str, x: Tensor, training: bool) -> Scene:
    before = {name: exactly(values) for name, values in subject.state().items()}
    refused = isinstance(attempt(lambda: subject.run(x.clone(), training, "gamma beta")), str)
    yield f"{clause} {what} is refused", refused
    yield f"B8 {what} is refused", refused
    for name, values in subject.state().items():
        kept = "B9" if name == "num_batches_tracked" else "B7"
        yield f"{kept} {name} after {what}", exactly(values) == before[name]


def play_degenerate(make: Make) -> Scene:
    """One value in evaluation, nothing at all, and a channel with one value that stands out."""
    for shape in ((1, 4), (1, 4, 1)):
        yield f"B4 evaluation of {shape}", attempt(partial(ready(make, 4).run, drawn(shape, 1), False))
    for shape in ((0, 4), (0, 4, 3), (2, 4, 0)):
        for training in (True, False):
            subject = ready(make, 4)
            y = attempt(partial(subject.run, torch.ones(shape, dtype=torch.float64), training))
            yield f"B5 y of {shape}, training {training}", y
            yield from ((f"B5 {k} after {shape}, training {training}", v) for k, v in subject.state().items())
    x = torch.zeros((100, 4), dtype=torch.float64)
    x[-1] = 1000
    for clause in ("F11", "N5"):
        yield f"{clause} y of one value that stands out", ready(make, 4).run(x, True)


def play_finite(make: Make) -> Scene:
    """Constants at offsets that are not dyadic, means of 0, nearly constant channels far from 0."""
    for dtype in (torch.float32, torch.float64):
        for step in (0.0, 1e-3):
            offsets = torch.tensor((0.0, 0.1, -77.7, 1e4 / 3, 1e6 / 7), dtype=torch.float64)
            x = (offsets + step * torch.tensor((-1.0, 1.0) * 20)[:, None]).to(dtype)
            subject = make(5, 1e-8, 0.3, dtype)
            y = subject.run(x, True)
            gradients = subject.backward(drawn((40, 5), 1).to(dtype))
            where = f"{dtype}, step {step}"
            yield f"N2 y, {where}", bool(y.isfinite().all())
            yield from ((f"N2 gradient {k}, {where}", bool(d.isfinite().all())) for k, d in enumerate(gradients))
            yield from ((f"B6 {k}, {where}", bool(v.isfinite().all())) for k, v in subject.state().items())


def play_not_finite(make: Make) -> Scene:
    """One NaN or infinity in x or in g: all of channel 1, or one position, and nothing else."""
    others = [0, 2, 3]
    for bad in (torch.nan, torch.inf, -torch.inf):
        clean, x = ready(make, 4), drawn((6, 4), 1)
        wanted, spoilt = clean.run(x.clone(), True), x.clone()
        spoilt[2, 1] = bad
        subject = ready(make, 4)
        y = subject.run(spoilt, True)
        yield f"N6 y of the channel of {bad}", bool(y[:, 1].isnan().all())
        yield f"N6 y beside {bad}", not differs(y[:, others], wanted[:, others])
        for name in ("running_mean", "running_var"):
            values, without = subject.state()[name], clean.state()[name]
            yield f"N6 {name} of the channel of {bad}", not bool(values[1].isfinite())
            yield f"N6 {name} beside {bad}", not differs(values[others], without[others])
        yield f"N6 evaluation of {bad}", ready(make, 4).run(spoilt, False)
    for training in (True, False):
        clean, subject, dy = ready(make, 4), ready(make, 4), drawn((6, 4), 2)
        for layer in (clean, subject):
            layer.run(drawn((6, 4), 1), training)
        dx, *sums = clean.backward(dy.clone())
        dy[2, 1] = torch.nan
        got, *totals = subject.backward(dy)
        dx[:, 1] = torch.nan if training else dx[:, 1]
        dx[2, 1] = torch.nan
        yield f"N6 dx of NaN, training {training}", not differs(got, dx)
        for k, (total, without) in enumerate(zip(totals, sums, strict=True)):
            without[1] = torch.nan
            yield f"N6 sum {k} of NaN, training {training}", not differs(total, without)


def play(make: Make) -> Trace:
    scenes = (play_refusals, play_degenerate, play_finite, play_not_finite)
    with np.errstate(all="ignore"):
        return collect(seen for scene in scenes for seen in scene(make))


@cache
def own() -> Trace:
    return play(torch_own)


@pytest.mark.parametrize("entry", RIGHT_LAYERS, ids=by_id)
def test_a_right_layer_does_as_torch_does(entry: RightLayer) -> None:
    amiss = {"B9"} if entry.id in TORCH_INSIDE else set()  # of level SHOULD, because torch counts what it refuses
    assert deviations(play(maker(entry)), own()) <= amiss


@pytest.mark.parametrize("entry", INPUTS, ids=by_id)
def test_a_wrong_layer_deviates_in_its_clauses(entry: Mutant) -> None:
    assert set(entry.clauses) <= deviations(play(maker(entry)), own())
