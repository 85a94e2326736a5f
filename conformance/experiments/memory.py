"""What stays alive after a pass is dropped."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import dataclass

from bnspec.cases.batches import make_batch, make_state
from bnspec.layers.protocol import Layer

from ..acting import Attempt, Stage, attempt
from .states import keep_offered


@dataclass(frozen=True)
class MemoryRecord:
    """`held` is whether the input of a training pass is alive after the pass was dropped and two more were run."""

    stage: Stage
    held: Attempt[bool]


def act_memory(stage: Stage) -> MemoryRecord:
    """Train on three batches with gradients, keep none of the passes, and look for the first input."""
    layer = stage.subject.make_layer(stage.case, stage.device)
    layer.load(keep_offered(stage, make_state(stage.case)))
    return MemoryRecord(stage, attempt(lambda: _hold_first_input(stage, layer)))


def _hold_first_input(stage: Stage, layer: Layer) -> bool:
    first = _run_and_drop(stage, layer, "batch")
    for stream in ("second", "third"):  # a layer may keep its latest output, as the seed's does
        _run_and_drop(stage, layer, stream)
    if first() is not None:
        gc.collect()
    return first() is not None


def _run_and_drop(stage: Stage, layer: Layer, stream: str) -> Callable[[], object]:
    return layer.run(make_batch(stage.case, stream).x, training=True, grad=stage.grad).watch()
