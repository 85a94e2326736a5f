"""Grades: what is measured, on batches of their own; what decides nothing waits for the profile standard."""

from __future__ import annotations

from bnspec.cases.case import Case

from ..experiment import Experiment
from ..experiments.repeats import act_repeats
from ..experiments.sweep import act_sweep
from ..experiments.training import act_training
from ..judges import grades, headroom

SWEPT = (
    ((256, 8), "contiguous"),
    ((8, 8, 32), "contiguous"),
    ((8, 8, 8, 4), "contiguous"),
    ((8, 8, 8, 4), "channels_last"),
    ((8, 8, 4, 4, 2), "contiguous"),
    ((8, 8, 4, 4, 2), "channels_last"),
)
"""m = 256: with fewer values the slope of two passes in float32 is uncertain, and many sums in order hide it."""

ILL_CONDITIONED = ((8, 3), (64, 2), (2, 3, 4), (8, 2, 8), (2, 3, 2, 2), (4, 2, 4, 4), (2, 3, 2, 1, 2), (4, 2, 2, 4, 2))
"""Few values, where a bound is tight, and more, at means of 10 deviations and far beyond."""

REPEATED = (
    (2503, 16), (67, 3), (5, 16, 501), (5, 3, 7), (5, 16, 17, 31), (5, 3, 3, 2), (5, 16, 7, 7, 11), (5, 3, 3, 2, 2)
)  # fmt: skip
"""So many values that frameworks share them out among threads, and few, as whoever is given ready-made has room for."""

GRADES = (
    Experiment(
        "sweep",
        act_sweep,
        {"N1": grades.judge_n1},
        needs=("batch_statistics",),
        cases=0,
        first=1,
        literal=tuple(Case("sweep", "float32", shape, 1e-5, 0.3, layout=layout) for shape, layout in SWEPT),
    ),
    Experiment(
        "headroom",
        act_training,
        {"N7": headroom.judge_n7},
        cases=2,
        first=1,
        longest=260,
        literal=tuple(Case("headroom", "float32", shape, 1e-5, 0.3, "offset") for shape in ILL_CONDITIONED),
        low_cases=2,
        low_literal=tuple(Case("headroom", "float32", shape, 0.1, 0.3, "offset") for shape in ILL_CONDITIONED[::2]),
    ),
    Experiment(
        "repeats",
        act_repeats,
        {"N8": grades.judge_n8},
        cases=0,
        first=1,
        literal=tuple(Case("repeats", "float32", shape, 1e-5, 0.3) for shape in REPEATED),
    ),
)
