"""Histories: several passes of one layer, and what lives longer than a pass."""

from __future__ import annotations

from bnspec.cases.case import Case

from ..experiment import Experiment
from ..experiments.history import act_history
from ..experiments.life_cycle import act_life_cycle
from ..experiments.memory import act_memory
from ..experiments.random_history import act_random_history
from ..experiments.reentrance import act_reentrance, act_switch
from ..judges import forward, gradients, random_history, reentrance, running, state
from ..literals import lives, small, two_a_rank

HISTORIES = (
    Experiment(
        "history",
        act_history,
        {
            "F1": forward.judge_f1_in_history,
            "G1": gradients.judge_g1_in_history,
            "R3": running.judge_history,
            "R7": running.judge_history,
        },
        needs=("running_statistics",),
        cases=6,
        longest=70,
        low_cases=2,
        low_literal=tuple(
            Case("history", "float32", shape, 0.1, 0.3, steps=3, seed=seed)
            for seed, shape in enumerate(((3, 2), (3, 2, 2), (2, 3, 2, 2), (2, 2, 2, 1, 3)))
        ),
        literal=tuple(
            Case("history", "float32", shape, 0.1, momentum, steps=steps, seed=seed)
            for seed, (shape, momentum, steps) in enumerate(
                (
                    ((3, 2), 0.3, 5),
                    ((4, 3), 0.7, 3),
                    ((3, 2, 2), 0.3, 4),
                    ((2, 2, 3), 0.05, 3),
                    ((2, 3, 2, 2), 0.3, 3),
                    ((3, 2, 2, 3), 0.7, 4),
                    ((2, 2, 2, 1, 3), 0.7, 6),
                    ((2, 2, 3, 2, 2), 0.3, 3),
                )
            )
        ),
    ),
    Experiment(
        "cumulative",
        act_history,
        {"R4": running.judge_history},
        needs=("running_statistics", "cumulative"),
        cases=6,
        longest=70,
        literal=tuple(
            Case("cumulative", "float32", shape, 0.1, None, steps=steps)
            for steps, shapes in (
                (4, ((3, 2), (2, 3, 2), (3, 2, 2, 2), (2, 2, 2, 1, 3))),
                (6, ((9001, 1), (70, 1, 130), (9, 1, 31, 33), (9, 1, 7, 5, 31))),
                (130, ((520, 1), (4, 1, 10, 13), (4, 1, 2, 5, 13))),  # counters wrap: batches in 8 bits, values in 16
            )
            for shape in shapes
        ),
        alike=True,
    ),
    Experiment(
        "reentrance",
        act_reentrance,
        {
            "F1": reentrance.judge_f1_refilled,
            "R2": reentrance.judge_r2_refilled,
            "G8": reentrance.judge_g8,
            "G14": reentrance.judge_g14,
            "S6": reentrance.judge_s6,
        },
        needs=("gradients", "reentrance"),
        cases=3,
        longest=40,
        literal=two_a_rank("reentrance"),
        alike=True,
    ),
    Experiment(
        "switch",
        act_switch,
        {"G8": reentrance.judge_g8_after_a_switch},
        needs=("gradients", "switches", "evaluation", "running_statistics"),
        cases=2,
        longest=40,
        literal=(*small("switch"), *small("switch", training=False)),
        alike=True,
    ),
    Experiment(
        "recomputation",
        act_reentrance,
        {"S6": reentrance.judge_s6},
        needs=("gradients", "reentrance", "recomputation"),
        cases=2,
        longest=40,
        first=1,
    ),
    Experiment(
        "life_cycle",
        act_life_cycle,
        {
            "S1": state.judge_s1,
            "S2": state.judge_s2,
            "S3": state.judge_s3,
            "S4": state.judge_s4,
            "S8": state.judge_s8,
            "E8": state.judge_e8,
            "R9": state.judge_r9,
            "R11": state.judge_r11,
            "R12": state.judge_r12,
        },
        needs=("running_statistics", "loadable"),
        cases=3,
        longest=40,
        literal=two_a_rank("life_cycle"),  # in float32 too: a conversion parts what layers share
    ),
    Experiment(
        "random_history",
        act_random_history,
        {"S5": random_history.judge_s5},
        needs=("running_statistics", "loadable"),
        cases=4,
        longest=40,
        literal=lives("random_history"),
        alike=True,
    ),
    Experiment("memory", act_memory, {"R8": running.judge_r8_in_memory}, cases=3, longest=70, alike=True),
)
