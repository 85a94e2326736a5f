"""What an implementation offers. Cases are drawn inside it, clauses outside are skipped, breaking it is a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

PROMISED: dict[str, str] = {
    "gradients": "a backward that gives the gradients by x, gamma and beta",
    "running_statistics": "running mean and variance that can be read and written",
    "kept_statistics": "running statistics that it keeps itself, or writes in place",
    "evaluation": "a mode that normalises with the running statistics",
    "affine": "gamma and beta",
    "gamma": "a scale gamma, with or without a shift",
    "beta": "a shift beta, with or without a scale",
    "cumulative": "momentum=None, the plain average over the batches",
    "initial_state": "buffers of the layer's own, with initial values",
    "late_statistics": "running statistics that the first batch makes",
    "gradient_subsets": "a choice of which of x, gamma and beta need a gradient",
    "reentrance": "several forwards before the first of their backwards",
    "second_order": "gradients that can be differentiated again, or an error",
    "forward_mode": "tangents that are carried forward to y, or an error",
    "recomputation": "a forward that runs again in its backward, as activation checkpointing has it",
    "counter": "a count of the training batches",
    "switches": "a mode that is switched apart from the calls",
    "saves": "a save of the whole state, and a restore from it",
    "copies": "copies of a layer",
    "converts": "a conversion to another dtype",
    "resets": "a reset of the running statistics",
    "retunes": "an eps and a momentum that can be set later",
    "memory_formats": "a framework in which batches are stored in one of several formats",
    "untracked": "a construction without running statistics",
    "untracked_evaluation": "an evaluation without running statistics, or a refusal that is a promise",
    "unscaled": "a construction without gamma and beta",
    "unshifted": "a construction with gamma and without beta",
    "beta_alone": "a construction with beta and without gamma",
}
FOLLOWING: dict[str, str] = {
    "positions": "batches of rank 3 or more, where a channel holds more than one value an example",
    "images": "batches of rank 4 or 5, which may be stored with the channel innermost",
    "several_ranks": "batches of more than one rank",
    "several_channels": "batches of more than one channel",
    "free_eps": "an eps that can be chosen",
    "full_weight": "a momentum that replaces the running statistics by those of the batch",
    "loadable": "an average whose state is all in the buffers and the count, as the plain one",
    "visible_eps": "an eps that shows beside variances of ordinary size",
    "batch_statistics": "training that normalises with the batch, which frozen layers do not",
    "refuses_one_value": "training that refuses a batch of one value a channel",
    "biased_normalisation": "training that normalises with the biased variance, so that K = m",
}
"""The abilities that nobody promises by name: they follow from other promises and from the dialect."""
ABILITIES: dict[str, str] = PROMISED | FOLLOWING

EPS = (1e-5, 1e-3, 1e-2, 0.1, 1.0, 1e-5, 1e-8, 1e-12)
MOMENTA = (0.3, 0.7, 0.05, 0.9, 0.1, 0.0, 1.0)
"""What cases choose from where eps and momentum are free: the more often, the more like what is in use."""

REPEATS: dict[str, str] = {
    "run": "another run of the same",
    "threads": "another number of threads",
    "rows": "other rows in the batch, in evaluation",
    "layout": "another layout of the same values",
}
"""What a layer may declare to keep every bit of its results (clause N8)."""

Momentum = float | Literal["free", "average", "absent"]
"""A number where it is fixed; else free for whoever constructs, fixed at None (the plain average), or nowhere to be
found, as in frozen layers."""


@dataclass(frozen=True)
class Promises:
    """Ranks, dtypes, devices and abilities on offer; `eps` and `channels` hold the value where it is fixed, else None.

    `algorithm` is the declared class of the variance (`bnspec.spec.bounds.CLASSES`); its bound then decides.
    `reproducible` names what it declares to keep every bit under (`REPEATS`).
    `mixes_ranks` tells whether one layer takes batches of several ranks in turn. `epsilons` and `momenta` are what of
    `EPS` and `MOMENTA` a layer takes whose eps or momentum is free.
    """

    ranks: tuple[int, ...]
    dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    abilities: frozenset[str]
    eps: float | None = None
    momentum: Momentum = "free"
    channels: int | None = None
    algorithm: str | None = None
    reproducible: tuple[str, ...] = ()
    mixes_ranks: bool = False
    epsilons: tuple[float, ...] = EPS
    momenta: tuple[float, ...] = MOMENTA

    def pick_eps(self, wanted: float) -> float:
        """The eps that is fixed, or the nearest to the one wanted of those that can be had."""
        if self.eps is not None:
            return self.eps
        return (
            wanted
            if len(set(self.epsilons)) == len(set(EPS))
            else min(self.epsilons, key=lambda eps: abs(eps - wanted))
        )

    def pick_free_momentum(self, wanted: float) -> float:
        """The one wanted or, where only some can be had, the nearest of these."""
        all_of_them = len(set(self.momenta)) == len(set(MOMENTA))
        return wanted if all_of_them else min(self.momenta, key=lambda momentum: abs(momentum - wanted))


def pick_momentum(promises: Promises, free: float | None) -> float | None:
    """The momentum to construct with: `free` where it can be chosen or matters to nobody, None for the average."""
    if promises.momentum in ("free", "absent"):
        return free
    return None if isinstance(promises.momentum, str) else promises.momentum
