"""Right layers at many batches: the ratio of error to bound of every channel and quantity."""

from __future__ import annotations

from typing import Any

import numpy as np
from bnspec.conformance.expected import expect_evaluation, expect_training
from numpy.typing import NDArray

from bnspec.spec.bounds import CLASSES
from bnspec.spec.precision import Arithmetic
from tests.bounds.layers import Found, Right, evaluate, serving
from tests.bounds.measuring import Claims, claim, find_error, find_share, terms_for
from tests.bounds.populations import Channels, draw_channels
from tests.bounds.tally import Tally

Array = NDArray[Any]
TRAINING = ("mean", "biased", "y", "dx", "dgamma", "dbeta", "running_mean", "running_var")
EVALUATION = ("y", "dx", "dgamma", "dbeta")


def claim_training(c: Channels, precision: str) -> dict[str, Claims]:
    """The claims of every class."""
    claims, b = {}, c.batch
    for algorithm in CLASSES:
        terms = terms_for(precision, algorithm, **c.conventions)
        claims[algorithm] = claim(b, expect_training(terms, b.native(b.x), b.state, b.eps), momentum=c.momentum)
    return claims


def find_ratios(found: Found, claims: list[Claims], a: Arithmetic) -> dict[str, list[Array]]:
    """The largest ratio of every channel (C,), by quantity, under each of several claims of the same exact values."""
    ratios = {}
    for quantity, got in found.items():
        error = find_error(got, claims[0][quantity][0], a)
        shares = [find_share(error, each[quantity][1]) for each in claims]
        ratios[quantity] = [np.fmax.reduce(share, axis=1) if share.ndim == 2 else share for share in shares]
    return ratios


def try_channels(
    precision: str, seed: int, turn: int, channels: int, tally: Tally, *, longest: int = 2000,
    layers: dict[str, Right] | None = None,
) -> None:  # fmt: skip
    """Drive the layers through one batch, training and evaluation, under their own class and under any."""
    c = draw_channels(precision, seed, turn, channels, longest)
    a, where = terms_for(precision).arithmetic, f"{precision} seed {seed} turn {turn}"
    tally.count(precision, channels)
    with np.errstate(all="ignore"):
        claims = claim_training(c, precision)
        for name, right in (serving(precision) if layers is None else layers).items():
            kinds = (right.algorithm, "any")
            for quantity, ratios in find_ratios(right.train(c), [claims[k] for k in kinds], a).items():
                for judged, ratio in zip(("own", "any"), ratios, strict=True):
                    tally.add((precision, name, judged, quantity), ratio, where)
        b = c.batch
        given = claim(b, expect_evaluation(terms_for(precision), b.native(b.x), b.state, b.eps))
        for name, found in evaluate(c).items():
            for quantity, (ratio,) in find_ratios(found, [given], a).items():
                tally.add((precision, f"{name} in evaluation", "any", f"evaluation: {quantity}"), ratio, where)
