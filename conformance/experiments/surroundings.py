"""What a layer changes outside of itself."""

from __future__ import annotations

from dataclasses import dataclass

from bnspec.cases.batches import make_batch, make_state
from bnspec.layers.surroundings import look, preserving, tell_changes

from ..acting import Stage, play
from .states import keep_offered


@dataclass(frozen=True)
class SurroundingsRecord:
    """What of the process was changed by making a layer, training, a backward and an evaluation, in words."""

    changes: tuple[str, ...]


def act_surroundings(stage: Stage) -> SurroundingsRecord:
    """Use a layer once in every way, and look at the process before and after. The engine puts back what changed."""
    framework = stage.subject.implementation.framework
    with preserving(framework):
        _use(stage)  # what a framework loads when it is first used may change the process, and is not the layer's doing
    before = look(framework)
    _use(stage)
    return SurroundingsRecord(tuple(tell_changes(before, look(framework))))


def _use(stage: Stage) -> None:
    subject, batch = stage.subject, make_batch(stage.case)
    layer = subject.make_layer(stage.case, stage.device)
    layer.load(keep_offered(stage, make_state(stage.case)))
    for training in (True, False) if subject.offers("evaluation", "running_statistics") else (True,):
        dy = batch.dy if subject.offers("gradients") else None
        play(lambda: layer.run(batch.x, training=training, grad=stage.grad), layer.state, dy)  # noqa: B023  # called at once
