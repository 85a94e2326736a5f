"""Which experiment feeds which clauses: the one table that the engine reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bnspec.cases.case import Case

from .acting import Stage
from .compare import Judgement
from .experiments.bad_input import act_bad_input
from .experiments.evaluation import act_evaluation
from .experiments.gradients import act_gradients
from .experiments.history import act_history
from .experiments.layouts import act_arguments, act_formats, act_singles
from .experiments.memory import act_memory
from .experiments.nonfinite import act_nonfinite
from .experiments.surroundings import act_surroundings
from .experiments.training import act_training
from .experiments.untracked import act_untracked
from .experiments.variants import act_variants
from .judges import bad_input, evaluation, forward, gradients, layout, numerics, running, surroundings


@dataclass(frozen=True)
class Experiment:
    """An act and the judges of its record, by clause; `needs` are the abilities without which it cannot be acted.

    `cases` is the number of drawn cases in a block, `longest` the most values a channel holds, and `literal` the cases
    chosen by hand that come first in block 0. With `cases` 0 the experiment enumerates: block 0 has one case a rank.
    """

    name: str
    act: Callable[[Stage], Any]
    judges: Mapping[str, Callable[[Any], Judgement]]
    needs: tuple[str, ...] = ()
    cases: int = 18
    longest: int = 1100
    literal: tuple[Case, ...] = ()


def _literals(experiment: str, **decisions: Any) -> tuple[Case, ...]:
    """A readable case, remainders against the usual block sizes with the information in the tail, and coincidences."""
    rows = (
        ((2, 2), "integers", "drawn"),
        ((67, 2), "late", "last"),
        ((1, 3, 35), "late", "drawn"),
        ((4, 4), "spread", "drawn"),
        ((3, 3, 3), "spread", "drawn"),
        ((5, 3, 2, 4), "spread", "drawn"),
        ((2, 2, 3, 2, 2), "spread", "last"),
        ((1027, 1), "late", "last"),
        ((3, 65), "spread", "drawn"),
        ((2, 37, 3), "spread", "drawn"),
        ((3, 35, 2, 3), "spread", "drawn"),
        ((67, 2, 1, 1), "late", "last"),
        ((4, 4, 4, 4), "spread", "drawn"),
        ((3, 4, 2, 3, 2), "spread", "drawn"),
        ((2, 34, 2, 2, 1), "spread", "drawn"),
        ((67, 2, 1, 1, 1), "late", "last"),
        ((3, 3, 3, 3, 3), "spread", "drawn"),
    )
    return tuple(
        Case(experiment, "float32", shape, 0.1, 0.3, fill, upstream, **decisions) for shape, fill, upstream in rows
    )


def _small(experiment: str, **decisions: Any) -> tuple[Case, ...]:
    """A small case or two a rank, with batches of one where there are positions."""
    shapes = ((4, 3), (3, 1), (1, 2, 3), (2, 3, 2, 2), (1, 2, 2, 2), (2, 3, 2, 1, 2), (1, 2, 2, 2, 2))
    return tuple(Case(experiment, "float32", shape, 0.1, 0.3, **decisions) for shape in shapes)


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "initial",
            act_training,
            {"F1": forward.judge_f1, "F2": forward.judge_f2, "R1": running.judge_r1},
            needs=("initial_state",),
            cases=10,
            longest=130,
        ),
        Experiment(
            "training",
            act_training,
            {
                "F1": forward.judge_f1,
                "F2": forward.judge_f2,
                "F7": forward.judge_f7,
                "R1": running.judge_shape,
                "R2": running.judge_r2,
                "R6": running.judge_r6,
                "R8": running.judge_r8,
                "B6": bad_input.judge_b6,
                "G1": gradients.judge_g1,
            },
            cases=28,
            literal=(
                *_literals("training"),
                Case("training", "float32", (4099, 1), 0.1, 0.3, "late", "last"),
                Case("training", "float32", (1, 1, 70003), 0.1, 0.3, "late", "last"),
            ),
        ),
        Experiment(
            "evaluation",
            act_evaluation,
            {
                "E1": evaluation.judge_e1,
                "E2": evaluation.judge_e2,
                "E3": evaluation.judge_e3,
                "E4": evaluation.judge_e4,
                "G2": gradients.judge_g2,
            },
            needs=("evaluation", "running_statistics"),
            cases=22,
            literal=_literals("evaluation"),
        ),
        Experiment(
            "gradients",
            act_gradients,
            {"G6": gradients.judge_g6, "G7": gradients.judge_g7},
            needs=("gradients",),
            cases=14,
            longest=260,
            literal=tuple(case for case in _literals("gradients") if case.count < 30),
        ),
        Experiment(
            "variants",
            act_variants,
            {"F8": forward.judge_f8, "F13": forward.judge_f13, "R5": running.judge_r5},
            longest=260,
            literal=_literals("variants")[:6],
        ),
        Experiment(
            "history",
            act_history,
            {
                "F1": forward.judge_f1_in_history,
                "G1": gradients.judge_g1_in_history,
                "R3": running.judge_history,
            },
            needs=("running_statistics",),
            cases=12,
            longest=70,
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
                Case("cumulative", "float32", shape, 0.1, None, steps=4)
                for shape in ((3, 2), (2, 3, 2), (3, 2, 2, 2), (2, 2, 2, 1, 3))
            ),
        ),
        Experiment("memory", act_memory, {"R8": running.judge_r8_in_memory}, cases=3, longest=70),
        Experiment(
            "nonfinite",
            act_nonfinite,
            {"N6": numerics.judge_n6},
            cases=3,
            longest=70,
            literal=_small("nonfinite"),
        ),
        Experiment(
            "arguments",
            act_arguments,
            {"L5": layout.judge_l5, "L8": layout.judge_l8},
            cases=3,
            longest=70,
            literal=_small("arguments"),
        ),
        Experiment(
            "formats",
            act_formats,
            {"L6": layout.judge_l6},
            needs=("memory_formats", "images"),
            cases=4,
            longest=70,
            literal=tuple(
                Case("formats", "float32", shape, 0.1, 0.3) for shape in ((2, 3, 2, 3), (3, 4, 2, 2), (2, 3, 2, 3, 2))
            ),
        ),
        Experiment(
            "bad_input",
            act_bad_input,
            {
                "B1": bad_input.judge_b1,
                "B2": bad_input.judge_b2,
                "B3": bad_input.judge_b3,
                "B4": bad_input.judge_b4,
                "B5": bad_input.judge_b5,
                "B7": bad_input.judge_b7,
                "B8": bad_input.judge_b8,
                "B9": bad_input.judge_b9,
                "B10": bad_input.judge_b10,
            },
            cases=0,
        ),
        Experiment(
            "untracked",
            act_untracked,
            {"E5": bad_input.judge_e5},
            needs=("untracked",),
            cases=3,
            longest=70,
            literal=_small("untracked"),
        ),
        Experiment(
            "surroundings",
            act_surroundings,
            {"S7": surroundings.judge_s7},
            cases=1,
            longest=70,
            literal=_small("surroundings")[::2],
        ),
        Experiment("singles", act_singles, {"L7": layout.judge_l7}, cases=3, longest=70, literal=_small("singles")),
    )
}


def judged_clauses() -> frozenset[str]:
    """Every clause that has a judge."""
    return frozenset(clause for experiment in EXPERIMENTS.values() for clause in experiment.judges)
