"""What an implementation offers. Cases are drawn inside it, clauses outside are skipped, breaking it is a failure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ABILITIES: dict[str, str] = {
    "gradients": "a backward that gives the gradients by x, gamma and beta",
    "running_statistics": "running mean and variance that can be read and written",
    "evaluation": "a mode that normalises with the running statistics",
    "affine": "gamma and beta",
    "cumulative": "momentum=None, the plain average over the batches",
    "initial_state": "buffers of the layer's own, with initial values",
    "positions": "batches of rank 3 or more, where a channel holds more than one value an example",
    "images": "batches of rank 4 or 5, which may be stored with the channel innermost",
    "batch_statistics": "training that normalises with the batch, which frozen layers do not",
    "gradient_subsets": "a choice of which of x, gamma and beta need a gradient",
    "counter": "a count of the training batches",
    "memory_formats": "a framework in which batches are stored in one of several formats",
    "untracked": "a construction without running statistics",
}


Momentum = float | Literal["free", "average", "absent"]
"""A number where it is fixed; else free for whoever constructs, fixed at None (the plain average), or nowhere to be
found, as in frozen layers."""


@dataclass(frozen=True)
class Promises:
    """Ranks, dtypes, devices and abilities on offer; `eps` and `channels` hold the value where it is fixed, else None.

    `algorithm` is the declared class of the variance (`bnspec.spec.bounds.CLASSES`); its bound then decides.
    """

    ranks: tuple[int, ...]
    dtypes: tuple[str, ...]
    devices: tuple[str, ...]
    abilities: frozenset[str]
    eps: float | None = None
    momentum: Momentum = "free"
    channels: int | None = None
    algorithm: str | None = None


def pick_momentum(promises: Promises, free: float | None) -> float | None:
    """The momentum to construct with: `free` where it can be chosen or matters to nobody, None for the average."""
    if promises.momentum in ("free", "absent"):
        return free
    return None if isinstance(promises.momentum, str) else promises.momentum
