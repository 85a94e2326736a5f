"""The same values again: in another run, on other threads, among other rows, in another layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnspec.cases.batches import Batch, make_batch, make_state
from bnspec.cases.layouts import lay_out
from bnspec.layers.protocol import NONE, Array, State
from bnspec.layers.surroundings import preserving

from ..acting import Stage, shaped
from .states import keep_offered

Bits = dict[str, Array]
"""What a training pass and an evaluation gave, by name."""
THREADS = ("one_thread", "three_threads")
LAYOUTS = ("transposed", "sliced", "channels_last")


@dataclass(frozen=True)
class RepeatsRecord:
    """`first` is what the case gave; `again`, by what was changed, what it gave then: the same, bit for bit, or not."""

    stage: Stage
    first: Bits
    again: dict[str, tuple[Bits, ...]]


def act_repeats(stage: Stage) -> RepeatsRecord:
    """Train and evaluate new layers from one state; a change that the framework has not is left out."""
    case, framework = stage.case, stage.subject.implementation.framework
    batch, start = make_batch(case), keep_offered(stage, make_state(case))
    first = _run(stage, start, batch)
    again: dict[str, tuple[Bits, ...]] = {"run": tuple(_run(stage, start, batch) for _ in range(2))}
    settings = [framework.settings[name] for name in THREADS if name in framework.settings]
    if settings:
        again["threads"] = tuple(_run_under(setting, stage, start, batch) for setting in settings)
    if "evaluation" in first and len(batch.x) > 1:
        again["rows"] = (_evaluate_rows(stage, start, batch.x),)
    laid_out = (Batch(lay_out(batch.x, layout), lay_out(batch.dy, layout)) for layout in LAYOUTS)
    others = tuple(_run(stage, start, other) for other in laid_out if other.x.strides != batch.x.strides)
    if others:
        again["layout"] = others
    return RepeatsRecord(stage, first, again)


def _run(stage: Stage, start: State, batch: Batch) -> Bits:
    """What a new layer makes of a batch in training, then of its rows in evaluation, from the same state each."""
    subject = stage.subject
    layer = subject.make_layer(stage.case, stage.device)
    layer.load(start)
    passed = shaped(layer.run(batch.x, training=True, grad=stage.grad), batch.x)
    found: dict[str, Array | None] = {"y": passed.y}
    if subject.offers("gradients"):
        gradients = passed.backward(batch.dy)
        found |= {"dx": gradients.x, "dgamma": gradients.gamma, "dbeta": gradients.beta}
    state = layer.state()
    found |= {"running_mean": state.running_mean, "running_var": state.running_var}
    if subject.offers("evaluation", "running_statistics"):
        layer.load(start)
        found["evaluation"] = shaped(layer.run(batch.x, training=False, grad=NONE), batch.x).y
    return {name: np.array(value, order="C") for name, value in found.items() if value is not None}


def _run_under(setting: Mapping[str, Any], stage: Stage, start: State, batch: Batch) -> Bits:
    framework = stage.subject.implementation.framework
    with preserving(framework):
        framework.write_globals(setting)
        return _run(stage, start, batch)


def _evaluate_rows(stage: Stage, start: State, x: Array) -> Bits:
    """The evaluations of the first half of the rows and of the second, one after the other."""
    layer = stage.subject.make_layer(stage.case, stage.device)
    layer.load(start)
    half = len(x) // 2
    halves = [shaped(layer.run(rows, training=False, grad=NONE), rows).y for rows in (x[:half], x[half:])]
    return {"evaluation": np.concatenate(halves)}
