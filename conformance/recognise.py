"""What a wrong observation looks like: a known mistake, values that are missing, or places that alone are off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.batches import Batch
from bnspec.cases.layouts import channel_major
from bnspec.layers.protocol import State, as_dtype
from bnspec.spec.bounds import GradientError
from bnspec.spec.equations import Cotangents
from bnspec.spec.precision import Number

from .acting import Played, Stage
from .compare import compare
from .exact import Exact, NoStatistics, ObservedPass
from .expected import ExpectedBuffers, ExpectedPass
from .experiments.evaluation import EvaluationRecord, act_evaluation
from .experiments.training import act_training
from .missing import tell_bits, tell_missing, tell_places
from .mistakes import IN_EVALUATION, IN_TRAINING

UNLIKE = ("late", "early", "outlier", "last")
"""Fills of x and dy that put what matters in a few places, which alone are then off."""
Array = NDArray[Any]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class FirstEvaluation:
    """The first evaluation of a record, as one observed pass."""

    record: EvaluationRecord

    @property
    def stage(self) -> Stage:
        return self.record.stage

    @property
    def batch(self) -> Batch:
        return self.record.batch

    @property
    def start(self) -> State:
        return self.record.start

    @property
    def played(self) -> Played:
        return self.record.first

    @property
    def expected(self) -> ExpectedPass:
        return self.record.expected_first

    @property
    def expected_gradients(self) -> tuple[Cotangents, GradientError]:
        return self.record.expected_gradients

    @property
    def expected_buffers(self) -> ExpectedBuffers:
        raise ValueError("an evaluation updates no buffers")


def observe(stage: Stage) -> ObservedPass:
    """Act a case of training or evaluation out, as one pass. Raises SubjectError."""
    return FirstEvaluation(act_evaluation(stage)) if stage.case.experiment == "evaluation" else act_training(stage)


def recognise(record: ObservedPass, quantity: str) -> str | None:
    """What the observation of a quantity that is wrong looks like, or None.

    A mistake is named only where its answer agrees with the observed one within the bound and differs from the right
    one by more than ten bounds.
    """
    table = IN_EVALUATION if record.expected.k is None else IN_TRAINING
    seen = _observe(record, quantity)
    if seen is None:
        return None
    observed, right, bound = seen
    if observed.shape != bound.shape or observed.dtype != as_dtype(observed_format(record, quantity)):
        return None
    exact, arithmetic = Exact(record), record.stage.terms.arithmetic
    with np.errstate(all="ignore"):
        for says, formula in table[quantity].items():
            try:
                made = formula(exact)
            except NoStatistics:
                continue
            apart = compare(quantity, arithmetic.float64(made), right, bound, arithmetic)
            if apart.ratio is None or not apart.ratio > 10:
                continue
            if not compare(quantity, observed, made, 2 * bound, arithmetic).failed:
                return f"it looks as if {says}"
        plain = np.asarray(arithmetic.float64(right))
        wrong = ~(np.abs(observed.astype(np.float64) - plain) <= bound) & np.isfinite(bound)
        if not wrong.any():
            return None
        missing = None
        if record.expected.k is not None:
            missing = tell_missing(exact, quantity, observed.astype(np.float64), plain, bound)
        size = np.abs(plain - _as_shift(exact, quantity, plain.shape))
        return missing or tell_bits(observed.astype(np.float64) - plain, size, wrong) or _tell_places(record, wrong)


def _as_shift(exact: Exact, quantity: str, shape: tuple[int, ...]) -> Floats:
    """beta, which hides how right the rest of y is; 0 for what has no shift."""
    if quantity != "y":
        return np.zeros(shape)
    return np.broadcast_to(np.asarray(exact.arithmetic.float64(exact.beta))[:, None], shape)


def _tell_places(record: ObservedPass, wrong: NDArray[np.bool_]) -> str | None:
    """Places tell something where the batch is alike at all of them."""
    case = record.stage.case
    alike = case.fill not in UNLIKE and case.upstream not in UNLIKE
    return tell_places(wrong) if alike else None


def observed_format(record: ObservedPass, quantity: str) -> str:
    """The name of the format that a quantity has in a right layer."""
    precision = record.stage.case.precision
    return (precision.storage if quantity in ("y", "dx") else precision.parameters).name


def _observe(record: ObservedPass, quantity: str) -> tuple[Array, Number, Floats] | None:
    """What was observed of a quantity, its exact value and its bound; None where nothing was."""
    expected = record.expected
    if quantity == "y":
        y = record.played.y.get()
        return (channel_major(y), expected.forward.y, expected.e_y) if y.shape == record.batch.x.shape else None
    if quantity in ("running_mean", "running_var"):
        state = record.played.after_forward.get()
        buffer = getattr(state, quantity)
        if buffer is None or expected.k is None:
            return None
        buffers = record.expected_buffers
        pairs = {"running_mean": (buffers.mean, buffers.e_mean), "running_var": (buffers.var, buffers.e_var)}
        return buffer.reshape(-1), *pairs[quantity]
    gradients = record.played.gradients.get()
    exact, bound = record.expected_gradients
    name = {"dx": "x", "dgamma": "gamma", "dbeta": "beta"}[quantity]
    got = getattr(gradients, name)
    if got is None or (name == "x" and got.shape != record.batch.x.shape):
        return None
    return channel_major(got) if name == "x" else got.reshape(-1), getattr(exact, name), getattr(bound, name)
