"""A layer that was built without gamma and beta, or without one of them."""

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

    `grad` is what the first two are asked for, `without` names what the layer lacks. `evaluated` is None where the
    subject does not evaluate.
    """

    grad: Grad
    without: str
    evaluated: Played | None
    trained: Played
    silent: Played


def act_unscaled(stage: Stage) -> UnscaledRecord:
    """Evaluate and train without gamma and beta."""
    return _act(stage, Grad(x=True), " without gamma and beta", affine=False)


def act_unshifted(stage: Stage) -> UnscaledRecord:
    """Evaluate and train with gamma and without beta."""
    return _act(stage, Grad(x=True, gamma=True), " without beta", shifted=False)


def act_beta_alone(stage: Stage) -> UnscaledRecord:
    """Evaluate and train with beta and without gamma."""
    return _act(stage, Grad(x=True, beta=True), " without gamma", scaled=False)


def _act(stage: Stage, grad: Grad, without: str, **structure: bool) -> UnscaledRecord:
    case, subject = stage.case, stage.subject
    batch = make_batch(case)
    state = keep_offered(stage, make_state(case))
    start = replace(state, gamma=state.gamma if grad.gamma else None, beta=state.beta if grad.beta else None)
    layer = subject.make_layer(case, stage.device, **structure)
    grad = grad if subject.offers("gradients") else NONE

    def run(training: bool, grad: Grad) -> Played:
        layer.load(start)
        dy = batch.dy if grad.x else None
        return play(lambda: layer.run(batch.x, training=training, grad=grad), layer.state, dy)

    evaluated = run(False, grad) if subject.offers("evaluation", "running_statistics") else None
    return UnscaledRecord(stage, batch, start, grad, without, evaluated, run(True, grad), run(True, NONE))
