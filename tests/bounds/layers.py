"""Right layers to be driven at length, one row an algorithm: the class it belongs to, and the precisions it serves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.bounds.algorithms import (
    BACKWARDS,
    ROOTS,
    STATISTICS,
    Statistics,
    Ways,
    chan_by,
    corrected,
    reversed_order,
    run_from,
    scale_up,
    textbook,
    two_pass,
    two_passes_by,
    weigh,
    widen,
)
from tests.bounds.batches import Batch, running
from tests.bounds.populations import PERIOD, Channels, widened
from tests.bounds.torch_algorithms import run_composed, run_torch

Array = NDArray[Any]
Found = dict[str, Array]
WIDE = ("float32", "float64")
MIXED = ("mixed_float16", "mixed_bfloat16")
THROUGHOUT = ("float16", "bfloat16")
ALL_WAYS = tuple(
    Ways(folded, raw, root, backward)
    for backward, root, folded, raw in product(BACKWARDS, ROOTS, (False, True), (False, True))
)


@dataclass(frozen=True)
class Right:
    """`algorithm` is its class; `train` gives what a training pass found, or nothing where it cannot be asked."""

    algorithm: str
    train: Callable[[Channels], Found]
    precisions: tuple[str, ...] = (*WIDE, *MIXED, *THROUGHOUT)


def ways_of(turn: int) -> Ways:
    """Another road each turn, and in time every road under all of the PERIOD conventions."""
    return ALL_WAYS[(5 * turn + turn // PERIOD) % len(ALL_WAYS)]


def finish(found: Found, b: Batch) -> Found:
    """Each answer rounded once to the format in which it is handed out: y and dx to that of x."""
    assert b.state.gamma is not None
    parameters = b.state.gamma.dtype
    return {name: v.astype(b.x.dtype if name in ("y", "dx") else parameters) for name, v in found.items()}


def update(c: Channels, mean: Array, biased: Array) -> Found:
    """Running statistics by one of four roads: told the weight of either, or moved by the difference."""
    (own, old), real, m = running(c.batch), mean.dtype.type, c.batch.x.shape[1]
    own, old = own.astype(mean.dtype), old.astype(mean.dtype)
    var = biased * real(m / (m - 1)) if c.stores == "unbiased" else biased
    gives = ("new", "old")[c.turn % 2]
    told = c.momentum if gives == c.weighs else float(real(1.0 - c.momentum))
    keeps, takes = weigh(real, told, gives)
    if c.turn % 5 == 0:
        return {"running_mean": own + takes * (mean - own), "running_var": old + takes * (var - old)}
    return {"running_mean": keeps * own + takes * mean, "running_var": keeps * old + takes * var}


def complete(c: Channels, b: Batch, mean: Array, biased: Array) -> Found:
    """All that a training pass gives, from its mean and biased variance, in the dtype of b and handed out as c asks."""
    m = b.x.shape[1]
    k = m if c.normalises_with == "biased" else m - 1
    passed = run_from(b, mean, scale_up(biased, b, k), ways_of(c.turn), k)
    return finish({"mean": mean, "biased": biased, **passed, **update(c, mean, biased)}, c.batch)


def by(statistics: Statistics, *, wide: Any = None) -> Callable[[Channels], Found]:
    """A pass whose statistics are formed in float32 or float64, and the rest in the format of the parameters.

    `wide` is the dtype of everything inside where it is another than that.
    """

    def train(c: Channels) -> Found:
        assert c.batch.state.gamma is not None
        inner = c.batch.state.gamma.dtype
        b = widened(c.batch, wide or inner)
        mean, biased = statistics(widen(b.x), widen(running(b)[0]))
        return complete(c, b, mean.astype(b.x.dtype), biased.astype(b.x.dtype))

    return train


def stepwise(statistics: Statistics) -> Callable[[Channels], Found]:
    """Every single operation rounded to half precision, sums but for one rounding excepted."""
    return lambda c: complete(c, c.batch, *statistics(c.batch.x, running(c.batch)[0]))


def recorded(form: str) -> Callable[[Channels], Found]:
    """The forward left to autograd."""

    def train(c: Channels) -> Found:
        m = c.batch.x.shape[1]
        return run_composed(c.batch, m if c.normalises_with == "biased" else m - 1, form)

    return train


def own(layout: str) -> Callable[[Channels], Found]:
    """torch's kernels; they refuse eps = 0, and know one convention."""

    def train(c: Channels) -> Found:
        fits = c.is_as_in_torch and c.batch.eps > 0
        return run_torch(c.batch, layout, c.momentum) if fits else {}

    return train


RIGHT: dict[str, Right] = {
    **{name: Right(algorithm, by(statistics)) for name, (algorithm, statistics) in STATISTICS.items()},
    "two passes, sums reversed": Right("twopass", by(two_passes_by(reversed_order))),
    "Chan, unequal chunks": Right("stable", by(chan_by(lambda m: max(1, m // 5)))),
    "float64 inside": Right("twopass", by(two_pass, wide=np.float64), ("float32", *MIXED, *THROUGHOUT)),
    "two passes, step by step": Right("twopass", stepwise(two_pass), THROUGHOUT),
    "corrected, step by step": Right("twopass", stepwise(corrected), THROUGHOUT),
    "textbook, step by step": Right("textbook", stepwise(textbook), THROUGHOUT),
    "recorded, plain": Right("twopass", recorded("plain")),
    "recorded, folded": Right("twopass", recorded("folded")),
    "recorded, textbook": Right("textbook", recorded("textbook")),
    "F.batch_norm, contiguous": Right("twopass", own("contiguous")),
    "F.batch_norm, channels last": Right("twopass", own("channels last")),
    "F.batch_norm, gradient sliced": Right("twopass", own("sliced"), (*MIXED, *THROUGHOUT)),
}


def serving(precision: str) -> dict[str, Right]:
    """The layers that serve a precision."""
    return {name: right for name, right in RIGHT.items() if precision in right.precisions}


def evaluate(c: Channels) -> dict[str, Found]:
    """What evaluations of the batch by its state find, by whoever made them."""
    assert c.batch.state.gamma is not None
    b = widened(c.batch, c.batch.state.gamma.dtype)
    ways = ways_of(c.turn)
    found = {"evaluation": finish(run_from(b, *running(b), ways, None), c.batch)}
    layouts = ("contiguous", "channels last") if c.batch.eps > 0 else ()
    return found | {f"F.batch_norm, {each}": run_torch(c.batch, each, training=False) for each in layouts}
