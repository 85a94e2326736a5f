"""The state a pass starts from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnspec.layers.protocol import State, as_dtype
from bnspec.spec.dialects import find_initial_var

from ..acting import Stage


def initial_state(stage: Stage) -> State:
    """The state that the dialect gives a new layer."""
    channels, dialect = stage.case.channels, stage.subject.dialect
    dtype = as_dtype(stage.case.precision.parameters.name)
    return State(
        np.ones(channels, dtype),
        np.zeros(channels, dtype),
        np.full(channels, dialect.initial_mean, dtype),
        np.full(channels, find_initial_var(dialect, stage.case.eps), dtype),
        0,
    )


def keep_offered(stage: Stage, state: State) -> State:
    """The state without what the subject does not have.

    Averages other than the plain one keep more than what can be loaded, so that their count starts at 0.
    """
    if stage.subject.dialect.average != "plain" and state.batches:
        state = replace(state, batches=0)
    if not stage.subject.offers("gamma"):
        state = replace(state, gamma=None)
    if not stage.subject.offers("beta"):
        state = replace(state, beta=None)
    if not stage.subject.offers("running_statistics"):
        state = replace(state, running_mean=None, running_var=None, batches=None)
    return state


def is_usable(state: State) -> bool:
    """Can an evaluation be expected by this state? Where not, R2 has a say."""
    mean, var, gamma = state.running_mean, state.running_var, state.gamma
    if mean is None or var is None or mean.size != var.size or (gamma is not None and gamma.size != mean.size):
        return False
    return bool(np.isfinite(mean).all() and np.isfinite(var).all() and (var >= 0).all())
