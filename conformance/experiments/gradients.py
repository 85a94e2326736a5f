"""Many backwards of one batch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.cases.layouts import LAYOUTS, REPEATED, lay_out
from bnspec.layers.protocol import NONE, OFF, Array, Grad, State
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents

from ..acting import Played, Stage, play
from ..expected import (
    ExpectedBuffers,
    ExpectedPass,
    begin_buffers,
    expect_evaluation,
    expect_training,
    update_buffers,
)
from .states import keep_offered


@dataclass(frozen=True)
class GradientRecord:
    """Backwards of one batch: sums of upstream gradients, layouts of them, subsets of what needs a gradient.

    `unasked` are passes without a backward: nothing needs a gradient, then recording is off.
    """

    stage: Stage
    batch: Batch
    start: State
    sums: tuple[tuple[Array, Played], ...]
    laid_out: tuple[tuple[str, Array, Played], ...]
    subsets: tuple[tuple[Grad, Played], ...]
    unasked: tuple[tuple[Grad, Played], ...]

    @cached_property
    def expected(self) -> ExpectedPass:
        expect = expect_training if self.stage.case.training else expect_evaluation
        return expect(self.stage.terms, self.batch.x, self.start, self.stage.case.eps)

    @cached_property
    def expected_buffers(self) -> ExpectedBuffers:
        begun = begin_buffers(self.stage.terms, self.start)
        return update_buffers(begun, self.expected, self.stage.case.momentum, self.start.batches or 0)

    @cached_property
    def expected_gradients(self) -> tuple[Cotangents, GradientError]:
        return self.expected.differentiate(self.batch.dy)


SUBSETS = (
    Grad(x=True),
    Grad(gamma=True),
    Grad(beta=True),
    Grad(True, True),
    Grad(True, False, True),
    Grad(False, True, True),
)


def name_grad(grad: Grad) -> str:
    """What needs a gradient, in words that follow "when"."""
    if not grad.recording:
        return "recording is off"
    names = [name for name in ("x", "gamma", "beta") if getattr(grad, name)]
    return f"only {' and '.join(names)} needs a gradient" if names else "nothing needs a gradient"


def act_gradients(stage: Stage) -> GradientRecord:
    """Differentiate one batch again and again, from the same state each time."""
    case, subject = stage.case, stage.subject
    batch, second = make_batch(case), make_batch(case, "second")
    start = keep_offered(stage, make_state(case))
    layer = subject.make_layer(case, stage.device)

    def differentiate(dy: Array | None, grad: Grad = stage.grad) -> Played:
        layer.load(start)
        return play(lambda: layer.run(batch.x, training=case.training, grad=grad), layer.state, dy)

    dys = [batch.dy, second.dy, (2 * batch.dy - second.dy).astype(batch.dy.dtype)]
    sums = tuple((dy, differentiate(dy)) for dy in dys)
    plain = np.ascontiguousarray(batch.dy)
    strided = LAYOUTS.keys() - {"contiguous", *REPEATED}
    layouts = [(name, lay_out(plain, name)) for name in sorted(strided) if min(plain.shape) > 1]
    layouts.append(("expanded along the batch", np.broadcast_to(plain[:1], plain.shape)))
    layouts.append(("expanded along the last axis", np.broadcast_to(plain[..., :1], plain.shape)))
    layouts.append(("expanded ones", np.broadcast_to(np.ones((), plain.dtype), plain.shape)))
    laid_out = tuple((name, dy, differentiate(dy)) for name, dy in layouts)
    chosen = SUBSETS if subject.offers("gradient_subsets", "affine") else ()
    subsets = tuple((grad, differentiate(batch.dy, grad)) for grad in chosen)
    unasked = tuple((grad, differentiate(None, grad)) for grad in (NONE, OFF))
    return GradientRecord(stage, batch, start, sums, laid_out, subsets, unasked)
