"""The museum over the life of a layer: what is wrong once it is saved, copied, converted, switched, or used again."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor

from bnspec.mutants.record import Mutant, RightLayer
from bnspec.mutants.table import RIGHT_LAYERS
from bnspec.mutants.table_lifecycle import LIFECYCLE
from bnspec.mutants.table_reentry import REENTRY
from tests.mutant_stage import Own, Trace, attempt, by_id, collect, deviations, differs, exactly, load_target

Make = Callable[[], Any]
Scene = Iterator[tuple[str, Any]]


def batch(seed: int, n: int = 5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(n, 3, 4, generator=generator, dtype=torch.float64) + 2


def modules(target: Any, momentum: float | None = 0.3) -> Make:
    """Layers of three channels whose parameters and buffers are not the defaults."""

    def make() -> Any:
        layer = target(3, eps=0.03, momentum=momentum, dtype=torch.float64)
        with torch.no_grad():
            layer.weight.copy_(torch.tensor((-1.5, 0.4, 0.7)))
            layer.bias.copy_(torch.tensor((0.5, -0.2, 1.1)))
            layer.running_mean.copy_(torch.tensor((1.0, -2.0, 0.3)))
            layer.running_var.copy_(torch.tensor((2.0, 0.5, 7.0)))
        return layer

    return make


def state(layer: Any) -> Trace:
    return {name: t.detach().clone() for name, t in (*layer.named_parameters(), *layer.named_buffers())}


def seen(clause: str, layer: Any, what: str) -> Scene:
    yield from ((f"{clause} {what}: {name}", values) for name, values in state(layer).items())


def bits(clause: str, layer: Any, what: str) -> Callable[[], Scene]:
    """Whether every bit of the layer's state is still what it is now."""
    before = {name: exactly(values) for name, values in state(layer).items()}

    def compare() -> Scene:
        yield from ((f"{clause} {what}: {name}", exactly(v) == before[name]) for name, v in state(layer).items())

    return compare


def train(layer: Any, *seeds: int) -> Any:
    for seed in seeds:
        layer(batch(seed, 4 + seed % 3))
    return layer


# ---- saving, copying, converting, resetting
def play_saving(make: Make) -> Scene:
    saved, restored = train(make(), 1, 2), make()
    restored.load_state_dict(copy.deepcopy(saved.state_dict()), strict=False)
    yield from seen("S1", restored, "restored")
    restored.load_state_dict({}, strict=False)
    yield from seen("S1", restored, "restored nothing")
    twin = make()
    twin.load_state_dict(saved.state_dict())
    left = bits("R9", saved, "left by the training of what it was restored to")
    train(twin, 3)
    yield from left()


def play_copying(make: Make) -> Scene:
    original = train(make(), 1, 2)
    twin = copy.deepcopy(original)
    yield from seen("S2", twin, "copy")
    for one, other, name in ((original, twin, "copy"), (twin, original, "original")):
        left = bits("S2", other, f"{name} is left alone")
        train(one, 3)
        yield from left()
    first, second = make(), make()
    left = bits("R9", second, "another layer is left alone")
    train(first, 1)
    yield from left()


def play_converting(make: Make) -> Scene:
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        layer = train(make(), 1).to(dtype)
        yield from seen("S3", layer, f"as {dtype}")
        if dtype is torch.float32:
            yield f"S3 y as {dtype}", layer(batch(2).to(dtype)).detach()
            yield f"S3 evaluation as {dtype}", layer.eval()(batch(2).to(dtype)).detach()


def play_resetting(make: Make) -> Scene:
    layer = train(make(), 1, 2)
    layer.reset_running_stats()
    yield from seen("R12", layer, "reset")


# ---- modes
SWITCHES = ("train", "train train", "eval train", "eval eval train", "train eval", "eval eval", "eval train train eval")


def play_switching(make: Make) -> Scene:
    for switches in SWITCHES:
        layer = make()
        for name in switches.split():
            getattr(layer, name)()
        for step in range(2):
            yield f"S4 y {step} after {switches}", layer(batch(step)).detach()
            yield from seen("S4", layer, f"step {step} after {switches}")
    layer = train(make(), 1)
    for step, mode in enumerate((False, True, True, False, True)):
        yield f"S4 y of pass {step}", layer.train(mode)(batch(step)).detach()
    yield from seen("S4", layer, "after passes in both modes")


# ---- updates and the counter
def play_updates(make: Make) -> Scene:
    layer = make()
    y = layer(batch(1).requires_grad_())
    yield from seen("R2", layer, "one batch")
    left = bits("R7", layer, "left by the backward")
    y.sum().backward()
    yield from left()
    with torch.no_grad():
        layer(batch(2))
    yield from seen("R7", layer, "without recording")
    x = batch(4)
    for _ in range(2):
        layer(x)
    yield from seen("R7", layer, "one batch object twice")
    for needs in range(8):
        layer = make()
        layer.weight.requires_grad_(bool(needs & 1))
        layer.bias.requires_grad_(bool(needs & 2))
        layer(batch(3).requires_grad_(bool(needs & 4)))
        yield from seen("R7", layer, f"subset {needs}")


def play_counting(make: Make) -> Scene:
    layer = make()
    for start in (0, 126, 254):
        layer.num_batches_tracked.fill_(start)
        y = train(layer, 1, 2)(batch(3).requires_grad_())
        yield f"R11 count from {start}", layer.num_batches_tracked.clone()
        y.sum().backward()
        layer.eval()(batch(1))
        layer.train()
        yield f"R11 count after a backward and an evaluation from {start}", layer.num_batches_tracked.clone()
    yield "R11 count of a new layer", make().num_batches_tracked.clone()


def play_average(make: Make) -> Scene:
    yield from ((f"R4 {name}", values) for name, values in state(train(make(), 1, 2, 3)).items())


def play_a_step(make: Make) -> Scene:
    layer = make()
    first, second = batch(1).requires_grad_(), batch(2, 7).requires_grad_()
    (layer(first).square().sum() + layer(second).square().sum()).backward()
    yield from seen("S6", layer, "used twice")
    layer = make()
    (layer(first).square().sum() + layer(first).square().sum()).backward()
    yield from seen("S6", layer, "used twice on one batch")


# ---- passes that overlap
class Pass:
    """A forward whose backward comes later."""

    def __init__(self, layer: Any, seed: int, n: int = 5, training: bool = True) -> None:
        self.layer, self.x = layer.train(training), batch(seed, n).requires_grad_()
        self.y = layer(self.x)
        self.dy = 2 * batch(seed + 100, n) - 3

    def backward(self) -> tuple[Tensor, ...]:
        return torch.autograd.grad(self.y, (self.x, self.layer.weight, self.layer.bias), self.dy)

    def kept(self) -> tuple[Tensor, ...]:
        """The gradients as they stand once they were handed out, in memory of their own."""
        return tuple(gradient.clone() for gradient in self.backward())


def gradients(what: str, found: tuple[Tensor, ...]) -> Scene:
    yield from ((f"G8 {what}: {name}", d) for name, d in zip(("dx", "dgamma", "dbeta"), found, strict=True))


def play_overlaps(make: Make) -> Scene:
    for n in (5, 6):
        for reverse in (False, True):
            layer = make()
            passes = (Pass(layer, 1), Pass(layer, 2, n))
            for number in (1, 0) if reverse else (0, 1):
                yield from gradients(f"pass {number}, {n} rows, reverse {reverse}", passes[number].kept())
    acts: dict[str, Callable[[Any], Any]] = {
        "an evaluation": lambda layer: layer.eval()(batch(3)),
        "a switch": lambda layer: layer.eval(),
        "a pass of another layer": lambda _: make()(batch(4)),
    }
    for name, act in acts.items():
        layer = make()
        one = Pass(layer, 1)
        act(layer)
        yield from gradients(f"after {name}", one.kept())
    layer = make()
    one, two = Pass(layer, 1), Pass(layer, 2, 6)
    added = torch.autograd.grad((one.y, two.y), (one.x, layer.weight, layer.bias), (one.dy, two.dy))
    yield from gradients("added up", added)
    held = Pass(layer, 1).backward(), Pass(layer, 2).backward()
    yield from gradients("held while others came", held[0])


def is_right_or_raises(one: Pass, wanted: tuple[Tensor, ...]) -> bool:
    found = attempt(one.backward)
    return found == "raised" or not any(differs(a, b) for a, b in zip(found, wanted, strict=True))


def play_writes(make: Make) -> Scene:
    for training in (True, False):
        for name in ("weight", "bias", "running_mean", "running_var"):
            wanted = Pass(make(), 1, training=training).kept()
            layer = make()
            one = Pass(layer, 1, training=training)
            with torch.no_grad():
                getattr(layer, name).mul_(1.7)
            yield f"G8 {name} written, training {training}", is_right_or_raises(one, wanted)


def play_evaluation_that_waits(make: Make) -> Scene:
    wanted, layer = Pass(make(), 1, training=False).kept(), make()
    one = Pass(layer, 1, training=False)
    train(layer.train(), 2)
    yield "G14 a training forward came between", is_right_or_raises(one, wanted)


def play_outputs(make: Make) -> Scene:
    for training in (True, False):
        layer = make().train(training)
        y = layer(batch(0)).detach()
        before = exactly(y)
        for later in range(1, 4):
            layer(batch(later))
            yield f"E8 the first output after {later} more, training {training}", exactly(y) == before
    layer = make()
    one = Pass(layer, 1)
    before = exactly(one.x)
    one.backward()
    yield "F7 x after the backward", exactly(one.x) == before


def play_repetitions(make: Make) -> Scene:
    layer = make()
    runs = [make()(batch(1, 400)).detach() for _ in range(3)]
    yield "F12 the same bits", all(torch.equal(runs[0], y) for y in runs)
    x = batch(1, 400)
    yield "E2 the same bits", torch.equal(layer.eval()(x), layer(x))


SCENES = (
    *(play_saving, play_copying, play_converting, play_resetting, play_switching, play_updates, play_counting),
    *(play_a_step, play_overlaps, play_writes, play_evaluation_that_waits, play_outputs, play_repetitions),
)


def play(target: Any) -> Trace:
    return collect(
        (name, value)
        for scenes in (*(scene(modules(target)) for scene in SCENES), play_average(modules(target, None)))
        for name, value in scenes
    )


@cache
def own() -> Trace:
    return play(Own)


@pytest.mark.parametrize("entry", [e for e in RIGHT_LAYERS if e.form == "torch module"], ids=by_id)
def test_a_right_layer_lives_as_torch_does(entry: RightLayer) -> None:
    amiss = {"G14"}  # of level SHOULD, because torch's own module fails it
    assert deviations(own(), own()) == amiss
    assert deviations(play(load_target(entry)), own()) <= amiss


@pytest.mark.parametrize("entry", [*LIFECYCLE, *REENTRY], ids=by_id)
def test_a_wrong_layer_deviates_in_its_clauses(entry: Mutant) -> None:
    assert set(entry.clauses) <= deviations(play(load_target(entry)), own())
