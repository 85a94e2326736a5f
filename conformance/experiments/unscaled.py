"""A layer that was built without gamma and beta."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bnspec.cases.batches import make_batch, make_state
from bnspec.layers.protocol import NONE, Grad

from ..acting import Played, Stage, play
from .one_batch import OneBatch
from .states import keep_offered


@dataclass(frozen=True)
class UnscaledRecord(OneBatch):
    """One batch, each time from the same state: an evaluation, a training pass, and one where nothing needs a gradient.

    `evaluated` is None where the subject does not evaluate.
    """

    evaluated: Played | None
    trained: Played
    silent: Played


def act_unscaled(stage: Stage) -> UnscaledRecord:
    """Evaluate and train without gamma and beta."""
    case, subject = stage.case, stage.subject
    batch = make_batch(case)
    start = replace(keep_offered(stage, make_state(case)), gamma=None, beta=None)
    layer = subject.make_layer(case, stage.device, affine=False)
    differentiates = subject.offers("gradients")

    def run(training: bool, grad: Grad) -> Played:
        layer.load(start)
        dy = batch.dy if grad.x else None
        return play(lambda: layer.run(batch.x, training=training, grad=grad), layer.state, dy)

    grad = Grad(x=True) if differentiates else NONE
    evaluated = run(False, grad) if subject.offers("evaluation", "running_statistics") else None
    return UnscaledRecord(stage, batch, start, evaluated, run(True, grad), run(True, NONE))
