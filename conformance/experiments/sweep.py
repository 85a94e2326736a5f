"""Training passes of batches that are the same but for their condition number."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bnspec.cases.batches import dtype_of
from bnspec.cases.fills import cast
from bnspec.cases.layouts import channel_major, from_channel_major, lay_out
from bnspec.layers.protocol import Array, State, as_dtype
from bnspec.spec.equations import (
    keep_constant,
    normalising_variance,
    stored_variance,
    take_moments,
    weight_of_new_batch,
)
from bnspec.spec.stability import POINTS, grid

from ..acting import Stage, shaped
from .states import keep_offered

Floats = NDArray[np.float64]
LEAST_CHANNELS, MOST_CHANNELS = 8, 16
"""At each condition number so many channels are looked at, in several passes where a layer has fewer."""


@dataclass(frozen=True)
class SweepRecord:
    """P passes, their condition numbers in ascending groups. x (P, C, m); y and dx, native dtype, of the same shape.

    dx is None without a backward, `running_var` (P, C) where no buffer shows the variance.
    """

    stage: Stage
    x: Array
    dy: Array
    y: Array
    dx: Array | None
    running_var: Array | None

    @cached_property
    def kappa(self) -> Floats:
        """The condition numbers of the batches as they are, (POINTS,), geometric means over their channels."""
        mean, var, _, _ = self._exact
        return _average(np.sqrt(1 + mean**2 / var))

    @cached_property
    def errors(self) -> dict[str, Floats]:
        """By where the variance is seen, its relative errors (POINTS,), geometric means over channels.

        The slope of y along the exact deviations d is rstd, whatever the computed mean; so is that of dx along what is
        left of dy beside 1 and d. An error of 1 stands for what shows no variance at all.
        """
        _, var, stored, deviation = self._exact
        seen: dict[str, Floats] = {}
        if self.running_var is not None:
            seen["running_var"] = self.running_var.reshape(-1).astype(np.float64) / stored
        seen["y"] = self._invert(_project(_rows(self.y), deviation)) / var
        if self.dx is not None:
            g = _rows(self.dy)
            g = g - g.mean(axis=1, keepdims=True)
            g = g - _project(g, deviation)[:, None] * deviation
            seen["dx"] = self._invert(_project(_rows(self.dx), g)) / var
        return {name: _average(np.clip(np.nan_to_num(abs(v - 1), nan=1.0), 1e-18, 1.0)) for name, v in seen.items()}

    def _invert(self, rstd: Floats) -> Floats:
        eps = keep_constant(self.stage.subject.dialect, self.stage.case.eps)
        return np.asarray(np.where(rstd > 0, rstd**-2.0 - eps, np.nan))

    @cached_property
    def _exact(self) -> tuple[Floats, Floats, Floats, Floats]:
        """Mean, normalising variance and what the buffer must hold (P C,), and deviations (P C, m), as float64."""
        a, dialect = self.stage.terms.arithmetic, self.stage.subject.dialect
        x = a.array(self.x.reshape(-1, self.x.shape[-1]))
        moments = take_moments(x)
        weight = weight_of_new_batch(dialect, self.stage.case.momentum, 0, a)
        stored = stored_variance(moments, dialect) * weight
        numbers = moments.mean, normalising_variance(moments, dialect), stored, x - moments.mean[:, None]
        mean, var, held, deviation = (a.float64(each) for each in numbers)
        return mean, var, held, deviation


def act_sweep(stage: Stage) -> SweepRecord:
    """Train on batches of ever larger mean, from buffers of zero, with gamma 1 and beta 0, each with its backward."""
    case, subject = stage.case, stage.subject
    layer = subject.make_layer(case, stage.device)
    start, dtype = _start(stage), dtype_of(case)
    shown = start.running_var is not None and subject.dialect.stores != "nothing"
    unit = case.precision.storage.unit_roundoff
    scale, looked_at = max(1.0, case.eps**0.5), slice(MOST_CHANNELS)
    columns: list[list[Array]] = []
    for point, kappa in enumerate(grid(unit)):
        for draw in range(-(-LEAST_CHANNELS // case.channels)):
            random = case.random(f"sweep {point} {draw}")
            values = random.standard_normal((case.channels, case.count))
            means = kappa * random.uniform(0.67, 1.33, (case.channels, 1)) * random.choice([-1.0, 1.0])
            x = lay_out(from_channel_major(cast((values + means) * scale, dtype), case.shape), case.layout)
            dy = cast(random.standard_normal(case.shape), dtype)
            if not subject.offers("loadable"):
                layer = subject.make_layer(case, stage.device)  # a load leaves what such an average has hidden
            layer.load(start)
            passed = shaped(layer.run(x, training=True, grad=stage.grad), x)
            found = [x, dy, passed.y]
            if subject.offers("gradients"):
                dx = passed.backward(lay_out(dy, case.layout)).x
                found.append(np.full_like(x, np.nan) if dx is None or dx.shape != x.shape else dx)
            row = [channel_major(each)[looked_at] for each in found]
            if shown:
                after = layer.state().running_var
                if after is None or after.size != case.channels:
                    after = np.full(case.channels, np.nan)
                row.append(after.reshape(-1)[looked_at])
            columns.append(row)
    x, dy, y, *rest = (np.stack(column) for column in zip(*columns, strict=True))
    return SweepRecord(stage, x, dy, y, rest[0] if subject.offers("gradients") else None, rest[-1] if shown else None)


def _start(stage: Stage) -> State:
    """gamma 1, beta 0 and buffers of zero, so that the stored variance is that of the batch times its weight."""
    channels, dtype = stage.case.channels, as_dtype(stage.case.precision.parameters.name)
    zero = np.zeros(channels, dtype)
    return keep_offered(stage, State(np.ones(channels, dtype), zero, zero.copy(), zero.copy(), 0))


def _rows(values: Array) -> Floats:
    return values.reshape(-1, values.shape[-1]).astype(np.float64)


def _project(values: Floats, along: Floats) -> Floats:
    """Row by row, the coefficient of `along` in `values`; both (P C, m)."""
    return np.asarray((values * along).sum(axis=1) / (along * along).sum(axis=1))


def _average(values: Floats) -> Floats:
    """The geometric means of the channels and passes of each condition number."""
    return np.asarray(np.exp(np.log(values).reshape(POINTS, -1).mean(axis=1)))
