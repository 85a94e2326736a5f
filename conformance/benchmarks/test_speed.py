"""The speed of a target beside torch.nn's layer of the same rank, in float32, by size, device and what is called.

`pytest conformance/benchmarks --bn TARGET`, with bnspec[bench] installed.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from bnspec.engine.subject import Subject

# Per rank: what starting a call costs, a layer as networks have it, and few channels with many values each.
SIZES: dict[int, tuple[tuple[int, ...], ...]] = {
    2: ((32, 64), (4096, 256), (262144, 4)),
    3: ((8, 16, 4), (32, 64, 784), (16, 4, 16384)),
    4: ((4, 16, 4, 4), (32, 64, 28, 28), (4, 4, 256, 256)),
    5: ((2, 8, 4, 4, 4), (4, 32, 8, 28, 28), (2, 4, 32, 64, 64)),
}
PEERS = {2: "torch.nn:BatchNorm1d", 3: "torch.nn:BatchNorm1d", 4: "torch.nn:BatchNorm2d", 5: "torch.nn:BatchNorm3d"}
CALLS = ("training", "forward and backward", "evaluation")
SECONDS = 0.2
"""How long one item is timed, about."""


@dataclass(frozen=True)
class Speed:
    """One item: which call of which layer, for which batch, where."""

    name: str
    subject: Subject
    call: str
    shape: tuple[int, ...]
    device: str

    @property
    def group(self) -> str:
        return f"{self.call}, {'x'.join(map(str, self.shape))}, {self.device}"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """An item for each layer, call, size and device; for a target of several ranks the sizes of the highest."""
    import pytest

    desk = metafunc.config.pluginmanager.get_plugin("bnspec-desk")
    if desk is None:
        raise pytest.UsageError("the benchmarks need a target: add --bn TARGET, such as --bn torch.nn:BatchNorm1d")
    items = [item for assignment in desk.assignments for item in _list_items(assignment)]
    metafunc.parametrize("speed", items, ids=[f"{item.name}-{item.group}" for item in items])


def _list_items(assignment: Any) -> list[Speed]:
    from bnspec.api import make_subject
    from bnspec.engine.plan import Request
    from bnspec.layers.target import load_target

    subject = assignment.loaded[0]
    rank = max(subject.promises.ranks)
    peer = make_subject(load_target(PEERS[rank]).obj, Request(), {})[0]
    needs = {"forward and backward": ("gradients",), "evaluation": ("evaluation",)}
    return [
        Speed(name, layer, call, shape, device)
        for device in assignment.plan.devices
        for shape in SIZES[rank]
        if subject.promises.channels in (None, shape[1])
        for call in CALLS
        if subject.offers(*needs.get(call, ()))
        for name, layer in {assignment.order.target: subject, PEERS[rank]: peer}.items()
    ]


def test_speed(benchmark: Any, speed: Speed) -> None:
    """Timed as often as fits into `SECONDS`, and five times at least."""
    from .native import prepare_call

    call = prepare_call(speed.subject, speed.call, speed.shape, speed.device)
    call()
    began = time.perf_counter()
    call()
    once = time.perf_counter() - began
    benchmark.group = speed.group
    benchmark.pedantic(call, rounds=max(5, min(1000, int(SECONDS / once))), warmup_rounds=1)
