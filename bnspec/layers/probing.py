"""Trying a subject out on plain batches, to learn what it offers. Whatever it raises is an answer here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np

from bnspec.layers.protocol import Array, Layer, Structure, SubjectError, as_dtype
from bnspec.layers.target import TargetError

RANKS = (2, 3, 4, 5)
CHANNELS = (3, 4, 8)
MODES = ((True, "training"), (False, "evaluation"))

Make = Callable[[Structure], Layer]


@dataclass(frozen=True)
class Outcome:
    """What came of one call: the dtype of y, or None where no array came, and whether anything was returned at all."""

    dtype: str | None = None
    returned: bool = False
    stage: str = ""
    reason: str = ""


def plain_batch(structure: Structure) -> Array:
    """A benign batch whose axes all differ in length, so that none broadcasts or passes for another by accident."""
    lengths = [n for n in (4, 5, 2, 6, 7) if n != structure.channels]
    shape = (lengths[0], structure.channels, *lengths[1 : structure.rank - 1])
    return np.sin(np.arange(np.prod(shape)) * 1.7).reshape(shape).astype(as_dtype(structure.dtype))


def try_call(make: Make, structure: Structure, training: bool, times: int = 1) -> Outcome:
    """Make a layer and call it on a plain batch."""
    try:
        layer = make(structure)
        for _ in range(times):
            y = layer.run(plain_batch(structure), training=training).y
    except SubjectError as error:
        # A reason without a cause is about what came back, and something did.
        return Outcome(None, error.stage == "forward" and error.__cause__ is None, error.stage, error.reason)
    except SystemExit as error:
        return Outcome(None, False, "forward", f"raised SystemExit: {error.code}")
    return Outcome(str(y.dtype), True)


def probe_ranks(make: Make, base: Structure) -> tuple[int, ...]:
    """The ranks of which a batch is taken and answered by an array: in training or, where none is, in evaluation."""
    for training, _ in MODES:
        found = tuple(r for r in RANKS if try_call(make, replace(base, rank=r), training).dtype is not None)
        if found:
            return found
    return ()


def find_call(
    make: Make, base: Structure, ranks: Iterable[int], dtypes: Iterable[str], tell: Callable[[Structure], str]
) -> Structure:
    """The first structure for which a call returns anything, right or wrong. Raises TargetError where none does."""
    dtypes, first = tuple(dtypes), ""
    for rank in ranks:
        for dtype in dtypes:
            structure = replace(base, rank=rank, dtype=dtype)
            for training, mode in MODES:
                outcome = try_call(make, structure, training)
                if outcome.returned:
                    return structure
                first = first or _explain(structure, mode, outcome, tell(structure))
    raise TargetError(first)


def _explain(structure: Structure, mode: str, outcome: Outcome, told: str) -> str:
    if outcome.stage == "construction":
        return (
            f"the target cannot be called: {told} {outcome.reason}; mend it, or give the arguments that it needs,"
            " --arg NAME=VALUE"
        )
    shape = plain_batch(structure).shape
    return (
        f"the target cannot be called: {told}, in {mode} on a {structure.dtype} batch of shape {shape},"
        f" {outcome.reason}; no other rank, dtype or mode went better: a call must take a batch (N, C, ...) alone"
    )
