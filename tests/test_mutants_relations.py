"""The museum away from the defaults, and by the relations of the specification, each written out here once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from bnspec.mutants.record import Mutant, RightLayer
from bnspec.mutants.table import RIGHT_LAYERS
from bnspec.mutants.table_options import OPTIONS
from tests.mutant_stage import (
    NumPy,
    TorchFunction,
    TorchModule,
    Trace,
    by_id,
    collect,
    deviations,
    differs,
    drawn,
    exactly,
    maker,
    parameters,
    torch_own,
)  # fmt: skip

Make = Callable[..., Any]
Scene = Iterator[tuple[str, Any]]
SHAPES = {2: (20, 4), 4: (20, 4, 3, 2)}
GAMMA = torch.tensor((0.7, 0.0, -1.3, 0.4), dtype=torch.float64)


def layer(make: Make, eps: float = 0.03, momentum: float | None = 0.3, **changes: Tensor) -> Any:
    subject = make(4, eps, momentum)
    subject.load(**{**parameters(4), "gamma": GAMMA, **changes})
    return subject


def columns(values: Tensor) -> Tensor:
    """(N, C, ...) -> (m, C)."""
    return values.movedim(1, -1).reshape(-1, values.shape[1])


def play_forward(make: Make, shape: tuple[int, ...]) -> Scene:
    x, beta = drawn(shape, 1), parameters(4)["beta"]
    y = layer(make).run(x, True)
    yield from ((f"{clause} y", y) for clause in ("F1", "F2"))
    rows = columns(x)
    scaled = columns(layer(make, 1e-4 / 64).run(x / 8, True)) - beta
    yield "F3 scaled by 1/8", not differs(scaled, columns(layer(make, 1e-4).run(x, True)) - beta)
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(0))
    yield "F4 permuted", not differs(layer(make).run(x[order], True), y[order])
    other = x.clone()
    other[:, 0] *= 1000
    yield "F5 another channel", not differs(layer(make).run(other, True)[:, 1:], y[:, 1:])
    yield "F9 written twice", not differs(layer(make).run(torch.cat((x, x)), True), torch.cat((y, y)))
    for k in (3, 4):
        moments = [((z - z.mean(0)) ** k).mean(0) / z.var(0, correction=0) ** (k / 2) for z in (columns(y), rows)]
        sign = GAMMA.sign() if k == 3 else 1
        yield f"F10 moment {k}", not differs(moments[0][GAMMA != 0], (sign * moments[1])[GAMMA != 0])
    hot = torch.zeros((100, 4), dtype=torch.float64)
    hot[-1] = 1000
    yield "F11 one value stands out", layer(make).run(hot, True)


def play_history(make: Make, shape: tuple[int, ...]) -> Scene:
    for momentum in (0.0, 0.3, 1.0):  # the last is what the next lines evaluate
        subject = layer(make, 1.0, momentum)
        subject.run(drawn(shape, 1), True)
        yield from (
            (f"{clause} {name} at momentum {momentum}", values)
            for name, values in subject.state().items()
            for clause in ("R2", "R5", "R10")
        )
    rows = columns(drawn(shape, 1))
    wanted = GAMMA * (rows - rows.mean(0)) / (rows.var(0) + 1).sqrt() + parameters(4)["beta"]
    yield "E6 evaluated after momentum 1", not differs(columns(subject.run(drawn(shape, 1), False)), wanted)
    batches = [drawn((2 + k % 4, *shape[1:]), k) for k in range(14)]
    momenta: tuple[float | None, ...] = (0.3,) if isinstance(subject, TorchFunction | NumPy) else (0.3, None)
    for average in momenta:
        subject = layer(make, 0.03, average)
        subject.load(**parameters(4))
        outputs = [subject.run(batch, True) for batch in batches]
        yield from ((f"{clause} the fourteenth at {average}", outputs[-1]) for clause in ("F1", "F13"))
        yield from ((f"R4 {name} at {average}", values) for name, values in subject.state().items())


def play_evaluation(make: Make, shape: tuple[int, ...]) -> Scene:
    x, small = drawn(shape, 1), torch.full((4,), 1e-4, dtype=torch.float64)
    yield "E1 y of what was loaded", layer(make).run(x, False)
    exchanged = layer(make, 5e-6, running_var=small + 2.5e-5).run(x, False)
    yield "E7 exchanged", not differs(exchanged, layer(make, 3e-5, running_var=small).run(x, False))
    subject = layer(make)
    if isinstance(subject, TorchModule) and not isinstance(subject, TorchFunction):
        bare = type(subject.bn)(4, eps=0.03, track_running_stats=False, dtype=torch.float64)
        bare(x)
        yield "E5 evaluated", bare.eval()(drawn(shape, 2)).detach()


def play_gradients(make: Make, shape: tuple[int, ...]) -> Scene:
    x, g, eps = drawn(shape, 1), drawn(shape, 2), 0.5
    subject = layer(make, eps)
    subject.run(x, True)
    found = subject.backward(g.clone())
    named = tuple(zip(("dx", "dgamma", "dbeta"), found, strict=True))
    yield from ((f"{clause} {name}", d) for clause in ("G1", "G9") for name, d in named)
    rows, up, dx, dgamma, dbeta = columns(x), columns(g), columns(found[0]), found[1], found[2]
    m, var = len(rows), rows.var(0, correction=0)
    r, delta = (var + eps).rsqrt(), eps / (var + eps)
    xhat = (rows - rows.mean(0)) * r
    yield "G3 along 1", not differs(dx.sum(0), torch.zeros(4, dtype=torch.float64))
    yield "G3 along xhat", not differs((dx * xhat).sum(0), GAMMA * r * dgamma * delta)
    square = (GAMMA * r) ** 2 * (up.square().sum(0) - dbeta**2 / m - (1 + delta) * dgamma**2 / m)
    yield "G5 the square of dx", not differs(dx.square().sum(0), square)
    direction, h = drawn(shape, 3), 1e-5
    ends = [(layer(make, eps).run(x + s * h * direction, True) * g).sum() for s in (1, -1)]
    slope = float((ends[0] - ends[1]) / (2 * h))
    yield "G12 a difference", abs(slope - float((found[0] * direction).sum())) < 1e-5 * (1 + abs(slope))
    before, weights = drawn((m, 5), 4), drawn((4, 5), 5)
    subject = layer(make, eps)
    subject.run(before @ weights.T, True)
    dz, dgamma, _ = subject.backward(up.clone())
    z = before @ weights.T
    delta = eps / (z.var(0, correction=0) + eps)
    yield "G11 along the weights", not differs(((dz.T @ before) * weights).sum(1), GAMMA * dgamma * delta)
    one_hot = torch.zeros(shape, dtype=torch.float64)
    one_hot[3] = 1
    for training in (True, False):
        subject = layer(make)
        subject.run(x, training)
        yield f"G4 one example, training {training}", subject.backward(one_hot.clone())[0]
        for needs in subject.subsets:
            subject.run(x, training, needs)
            for k, d in enumerate(subject.backward(g.clone())):
                yield f"G7 gradient {k} for {needs or 'nothing'}, training {training}", d


def play_second_pass(make: Make, shape: tuple[int, ...]) -> Scene:
    """What a layer with one cache can be asked: the next pass, and what happens before its backward."""
    subject = layer(make)
    for seed in (1, 2):
        subject.run(drawn(shape, seed), True)
        found = subject.backward(drawn(shape, seed + 5))
    yield from ((f"{clause} gradient {k}", d) for clause in ("G8", "R3") for k, d in enumerate(found))
    if not isinstance(subject, NumPy):
        return
    for training in (True, False):
        wanted, subject = layer(make), layer(make)
        wanted.run(drawn(shape, 1), training)
        subject.run(drawn(shape, 1), training)
        subject.bn.training = not training
        subject.bn.gamma[...] *= 2
        pairs = zip(subject.backward(drawn(shape, 2)), wanted.backward(drawn(shape, 2)), strict=True)
        yield f"G8 after a write and a switch, training {training}", not any(differs(a, b) for a, b in pairs)
        y = subject.bn.forward(drawn(shape, 1).numpy())
        before = exactly(y)
        subject.bn.forward(drawn(shape, 2).numpy())
        yield f"E8 an output, training {training}", exactly(y) == before
    one, other = make(4, 0.03, 0.3), make(4, 0.03, 0.3)
    before = exactly(other.bn.running_mean)
    one.run(drawn(shape, 1), True)
    yield "R9 another layer", exactly(other.bn.running_mean) == before


def play(make: Make, rank: int) -> Trace:
    scenes = (play_forward, play_history, play_evaluation, play_gradients, play_second_pass)
    return collect(seen for scene in scenes for seen in scene(make, SHAPES[rank]))


@cache
def own(rank: int) -> Trace:
    return play(torch_own, rank)


@pytest.mark.parametrize("entry", RIGHT_LAYERS, ids=by_id)
def test_a_right_layer_keeps_the_relations(entry: RightLayer) -> None:
    for rank in SHAPES:
        assert deviations(play(maker(entry), rank), own(rank)) == set()


@pytest.mark.parametrize("entry", OPTIONS, ids=by_id)
def test_a_wrong_layer_deviates_in_its_clauses(entry: Mutant) -> None:
    for rank in SHAPES.keys() & set(entry.ranks):
        assert set(entry.clauses) <= deviations(play(maker(entry), rank), own(rank))
