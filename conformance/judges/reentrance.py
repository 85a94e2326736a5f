"""Families G and S: passes that wait for their backwards while others run."""

from __future__ import annotations

import numpy as np

from bnspec.layers.protocol import Gradients
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents

from ..compare import VACUOUS, Judgement, worst_of
from ..experiments.reentrance import ReentranceRecord, Scene, SwitchRecord
from .forward import judge_output
from .gradients import judge_gradients
from .running import judge_buffers
from .state import judge_same

REFUSED = Judgement(0.0)
"""An error where one is allowed: compared with what may be, and informative."""


def judge_g8(record: ReentranceRecord) -> Judgement:
    """Each backward gives the gradients of its own forward, and two of them at once those of both."""
    scenes = [_judge_scene(record, scene) for scene in record.scenes]
    return worst_of(*scenes, _judge_joined(record), _judge_accumulated(record))


def judge_g8_after_a_switch(record: SwitchRecord) -> Judgement:
    """A backward in another mode gives the gradients of the forward's mode."""
    exact, bound = record.expected.differentiate(record.batch.dy)
    telling = record.expected.informative & (record.expected.magnitudes.gamma != 0)
    return judge_gradients(
        record.gradients.get(),
        exact,
        bound,
        record.stage,
        record.batch.x.shape,
        telling,
        when=" after a change of mode",
    )


def judge_g14(record: ReentranceRecord) -> Judgement:
    """The backward of an evaluation after a training forward."""
    return VACUOUS if record.late is None else _judge_scene(record, record.late)


def _judge_scene(record: ReentranceRecord, scene: Scene) -> Judgement:
    error = scene.gradients.error
    if scene.may_refuse and error is not None and error.stage == "backward":
        return REFUSED
    return _judge(record, scene.forward, scene.gradients.get(), *record.expected_gradients[scene.forward], scene.when)


def _judge_joined(record: ReentranceRecord) -> Judgement:
    """dx of each pass, and the sums of dgamma and dbeta."""
    names = ("first", "second")
    exact, bounds = zip(*(record.expected_gradients[name] for name in names), strict=True)
    checks = []
    for place, (name, gradients) in enumerate(zip(names, record.joined.get(), strict=True)):
        both = Cotangents(exact[place].x, exact[0].gamma + exact[1].gamma, exact[0].beta + exact[1].beta)
        bound = GradientError(bounds[place].x, bounds[0].gamma + bounds[1].gamma, bounds[0].beta + bounds[1].beta)
        checks.append(_judge(record, name, gradients, both, bound, " of the sum of two passes"))
    return worst_of(*checks)


def _judge_accumulated(record: ReentranceRecord) -> Judgement:
    """Twice dgamma and dbeta, with one more rounding."""
    gradients = record.accumulated.get()
    if gradients is None:
        return VACUOUS
    exact, bound = record.expected_gradients["first"]
    twice = Cotangents(exact.x, exact.gamma * 2, exact.beta * 2)
    u, a = record.stage.case.precision.parameters.unit_roundoff, record.stage.terms.arithmetic
    e_gamma, e_beta = (
        2 * (e * (1 + u) + u * np.abs(a.float64(g))) for e, g in ((bound.gamma, exact.gamma), (bound.beta, exact.beta))
    )
    when = " added to what is there"
    return _judge(record, "first", gradients, twice, GradientError(bound.x, e_gamma, e_beta), when)


def _judge(
    record: ReentranceRecord, name: str, gradients: Gradients, exact: Cotangents, bound: GradientError, when: str
) -> Judgement:
    expected = record.expected[name]
    telling = expected.informative & (expected.magnitudes.gamma != 0)
    shape = record.batch_of(name).x.shape
    return judge_gradients(gradients, exact, bound, record.stage, shape, telling, when=when)


def judge_f1_refilled(record: ReentranceRecord) -> Judgement:
    """The output is that of what the input object holds now."""
    shape = record.batch_of("refilled").x.shape
    return judge_output(record.refilled, record.expected["refilled"], shape, "y of new values in the same input object")


def judge_r2_refilled(record: ReentranceRecord) -> Judgement:
    """The running statistics learn from what the input object holds at each forward."""
    if not record.stage.subject.offers("loadable"):
        return VACUOUS  # what a layer learnt before the start is not in its buffers alone
    record.refilled.forward.get()
    state, buffers = record.refilled.after_forward.get(), record.expected_buffers("first", "refilled")
    return judge_buffers(state, buffers, record.stage, "new values in the same input object")


def judge_s6(record: ReentranceRecord) -> Judgement:
    """Two forwards make two updates and their backwards none; a recomputed forward makes a second one."""
    stage, trained = record.stage, record.trained.get()
    checks = [
        judge_buffers(trained, record.expected_buffers("first", "second"), stage, "two forwards"),
        judge_same(record.answered.get(), trained, "after the backwards of two forwards"),
        judge_buffers(record.repeated.get(), record.expected_buffers("first", "first"), stage, "one input used twice"),
    ]
    played = record.recomputed
    if played is not None:
        once, twice = (record.expected_buffers(*["first"] * times) for times in (1, 2))
        shape = record.batches[0].x.shape
        exact, bound = record.expected_gradients["first"]
        checks += [
            judge_output(played, record.expected["first"], shape, "y of a forward to be recomputed"),
            judge_buffers(played.after_forward.get(), once, stage, "a forward to be recomputed"),
            _judge(record, "first", played.gradients.get(), exact, bound, " by recomputation"),
            judge_buffers(played.after_backward.get(), twice, stage, "a forward and its recomputation"),
        ]
    return worst_of(*checks)
