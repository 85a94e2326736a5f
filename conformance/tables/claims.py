"""Claims about a layer inside a network. Their cases are chosen by hand, two a rank, and none is drawn."""

from __future__ import annotations

from dataclasses import replace

from bnspec.cases.case import Case

from ..experiment import Experiment
from ..experiments.descent import act_descent
from ..experiments.digits import act_digits
from ..experiments.jitter import act_jitter
from ..experiments.widths import act_widths
from ..judges import claims

SMALL = ((48, 6), (12, 6, 4), (6, 6, 4, 2), (4, 6, 3, 2, 2))
"""48 values a channel."""
LONG = ((512, 5), (64, 5, 8), (16, 5, 8, 4), (16, 5, 4, 4, 2))
"""512 of them."""
BATCHES = ((64, 16), (16, 16, 4), (16, 16, 2, 2), (8, 16, 2, 2, 2))
"""64 digits, 16 units a layer."""


def _two(experiment: str, shapes: tuple[tuple[int, ...], ...]) -> tuple[Case, ...]:
    return tuple(Case(experiment, "float32", shape, 1e-5, 0.1, seed=seed) for shape in shapes for seed in (0, 1))


CLAIMS = (
    Experiment(
        "widths",
        act_widths,
        {"C1": claims.judge_c1, "C2": claims.judge_c2_in_a_network},
        needs=("batch_statistics",),
        cases=0,
        literal=tuple(replace(case, fresh=not case.seed) for case in _two("widths", SMALL)),
    ),
    Experiment(
        "descent",
        act_descent,
        {"C3": claims.judge_c3},
        needs=("batch_statistics", "gradients", "affine"),
        cases=0,
        literal=_two("descent", SMALL),
    ),
    Experiment(
        "jitter",
        act_jitter,
        {"C5": claims.judge_c5},
        needs=("batch_statistics",),
        cases=0,
        literal=_two("jitter", LONG),
    ),
    Experiment(
        "digits",
        act_digits,
        {"C6": claims.judge_c6},
        needs=("batch_statistics", "gradients"),
        cases=0,
        literal=_two("digits", BATCHES),
        modules=("sklearn",),
    ),
)
