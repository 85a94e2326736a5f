"""Which experiment feeds which clauses: the one table that the engine reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from bnspec.cases.case import Case
from bnspec.spec.formats import PRECISIONS

from .acting import Stage
from .compare import Judgement
from .experiments.bad_input import act_bad_input
from .experiments.differences import act_differences
from .experiments.evaluation import act_evaluation
from .experiments.exchanges import act_exchanges
from .experiments.gradients import act_gradients
from .experiments.history import act_history
from .experiments.jacobian import act_jacobian
from .experiments.layouts import act_arguments, act_formats, act_singles
from .experiments.life_cycle import act_life_cycle
from .experiments.memory import act_memory
from .experiments.nonfinite import act_nonfinite
from .experiments.reentrance import act_reentrance, act_switch
from .experiments.relations import act_relations
from .experiments.surroundings import act_surroundings
from .experiments.training import act_training
from .experiments.untracked import act_untracked
from .experiments.variants import act_variants
from .experiments.weights import act_weights
from .judges import (
    bad_input,
    consequences,
    coverage,
    differences,
    evaluation,
    forward,
    gradients,
    layout,
    numerics,
    reentrance,
    relations,
    running,
    state,
    surroundings,
)
from .literals import as_in_networks, every_layout, every_rank, few_of_every_rank, in_low_precision, small, two_a_rank


@dataclass(frozen=True)
class Experiment:
    """An act and the judges of its record, by clause; `needs` are the abilities without which it cannot be acted.

    `cases` is the number of drawn cases in a block, `longest` the most values a channel holds, and `literal` the cases
    chosen by hand that come first in block 0; with `cases` 0 it enumerates, one case a rank. `low_cases` and
    `low_literal` stand for them in low precision, where an experiment without any is not acted. `first` is the first
    block that acts it.
    """

    name: str
    act: Callable[[Stage], Any]
    judges: Mapping[str, Callable[[Any], Judgement]]
    needs: tuple[str, ...] = ()
    cases: int = 18
    longest: int = 1100
    literal: tuple[Case, ...] = ()
    low_cases: int = 0
    low_literal: tuple[Case, ...] = ()
    first: int = 0

    def acts_in(self, dtype: str) -> bool:
        """Is the experiment acted in this precision?"""
        return self.low_cases > 0 or not PRECISIONS[dtype].is_low

    def literals(self, dtype: str) -> tuple[Case, ...]:
        """The cases chosen by hand, in a precision."""
        return self.low_literal if PRECISIONS[dtype].is_low else self.literal

    def draws(self, dtype: str, block: int) -> int:
        """The number of cases drawn in a block, in a precision; half as many where literal ones come first."""
        cases = self.low_cases if PRECISIONS[dtype].is_low else self.cases
        return cases if block or not self.literals(dtype) else -(-cases // 2)


EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment
    for experiment in (
        Experiment(
            "initial",
            act_training,
            {
                "F1": forward.judge_f1,
                "F2": consequences.judge_f2,
                "R1": running.judge_r1,
                "R2": running.judge_r2,
                "G1": gradients.judge_g1,
                "E1": evaluation.judge_e1_of_a_new_layer,
            },
            needs=("initial_state",),
            cases=6,
            longest=130,
            low_cases=2,
        ),
        Experiment(
            "training",
            act_training,
            {
                "F1": forward.judge_f1,
                "F2": consequences.judge_f2,
                "F7": forward.judge_f7,
                "R1": running.judge_shape,
                "R2": running.judge_r2,
                "R6": running.judge_r6,
                "R7": running.judge_r7,
                "R8": running.judge_r8,
                "R11": running.judge_r11,
                "B6": bad_input.judge_b6,
                "G1": gradients.judge_g1,
                "F10": consequences.judge_f10,
                "F11": consequences.judge_f11,
                "R10": coverage.judge_r10,
                "G3": consequences.judge_g3,
                "G5": consequences.judge_g5,
                "G9": coverage.judge_g9,
                "N2": coverage.judge_n2,
                "N3": coverage.where(lambda case: case.precision.is_low),
                "N4": coverage.where(lambda case: case.dtype == "float64"),
                "N5": coverage.where(coverage.is_large),
                "L1": coverage.where(coverage.is_laid_out),
                "L2": coverage.where(coverage.is_channels_last),
                "L3": coverage.where(coverage.is_coincidence),
                "L4": coverage.judge_pass,
            },
            cases=14,
            low_cases=5,
            low_literal=(
                *in_low_precision("training"),
                *(
                    Case("training", "float32", shape, 0.1, 0.3, "steps", "constant")
                    for shape in ((4099, 2), (3, 2, 1367), (3, 2, 1, 1367), (3, 2, 1, 1, 1367))
                ),
            ),
            literal=(
                *every_rank("training"),
                *every_layout(),
                *as_in_networks("training"),
                Case("training", "float32", (10007, 1), 1e-5, 0.3, "outlier"),
                Case("training", "float32", (1, 1, 10007), 1e-5, 0.3, "outlier"),
                Case("training", "float32", (1, 1, 10007, 1), 1e-5, 0.3, "outlier"),
                Case("training", "float32", (1, 1, 1, 10007, 1), 1e-5, 0.3, "outlier"),
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
                "F1": evaluation.judge_f1_after_evaluation,
                "R2": evaluation.judge_r2_after_evaluation,
                "G1": gradients.judge_g1_after_evaluation,
                "G2": gradients.judge_g2,
            },
            needs=("evaluation", "running_statistics"),
            cases=10,
            literal=(*every_rank("evaluation"), *as_in_networks("evaluation")),
            low_cases=3,
            low_literal=in_low_precision("evaluation")[:4],
        ),
        Experiment(
            "gradients",
            act_gradients,
            {
                "G6": gradients.judge_g6,
                "G7": gradients.judge_g7,
                "R7": running.judge_r7_by_subset,
                "R11": running.judge_r11_by_subset,
            },
            needs=("gradients",),
            cases=6,
            longest=260,
            literal=tuple(case for case in every_rank("gradients") if case.count < 30),
            low_cases=2,
            low_literal=in_low_precision("gradients")[:4],
        ),
        Experiment(
            "jacobian",
            act_jacobian,
            {"G4": gradients.judge_g4},
            needs=("gradients",),
            cases=4,
            longest=6,
            literal=tuple(
                Case("jacobian", "float32", shape, 0.1, 0.3, training=training)
                for shape in ((4, 3), (2, 2, 3), (2, 3, 1, 2), (1, 3, 2, 2, 1), (3, 2))
                for training in (True, False)
            ),
        ),
        Experiment(
            "variants",
            act_variants,
            {
                "F1": forward.judge_f1_in_variants,
                "F8": forward.judge_f8,
                "F13": forward.judge_f13,
                "R5": running.judge_r5,
            },
            cases=8,
            longest=260,
            literal=every_rank("variants")[:6],
        ),
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
                Case("cumulative", "float32", shape, 0.1, None, steps=4)
                for shape in ((3, 2), (2, 3, 2), (3, 2, 2, 2), (2, 2, 2, 1, 3))
            ),
        ),
        Experiment(
            "reentrance",
            act_reentrance,
            {"G8": reentrance.judge_g8, "G14": reentrance.judge_g14, "S6": reentrance.judge_s6},
            needs=("gradients", "reentrance"),
            cases=3,
            longest=40,
            literal=two_a_rank("reentrance"),
        ),
        Experiment(
            "switch",
            act_switch,
            {"G8": reentrance.judge_g8_after_a_switch},
            needs=("gradients", "switches", "evaluation", "running_statistics"),
            cases=2,
            longest=40,
            literal=(*small("switch"), *small("switch", training=False)),
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
                "E8": state.judge_e8,
                "R9": state.judge_r9,
                "R11": state.judge_r11,
                "R12": state.judge_r12,
            },
            needs=("running_statistics", "loadable"),
            cases=3,
            longest=40,
            literal=two_a_rank("life_cycle"),
        ),
        Experiment("memory", act_memory, {"R8": running.judge_r8_in_memory}, cases=3, longest=70),
        Experiment(
            "relations",
            act_relations,
            {
                "F3": relations.judge_f3,
                "F4": relations.judge_f4,
                "F5": relations.judge_f5,
                "F6": relations.judge_f6,
                "F9": relations.judge_f9,
                "F12": relations.judge_f12,
            },
            cases=6,
            longest=70,
            literal=tuple(case for case in every_rank("relations") if case.count <= 70),
        ),
        Experiment(
            "exchanges",
            act_exchanges,
            {"E6": evaluation.judge_e6, "E7": evaluation.judge_e7},
            needs=("evaluation", "running_statistics"),
            cases=4,
            longest=70,
            literal=few_of_every_rank("exchanges"),
        ),
        Experiment(
            "weights",
            act_weights,
            {"G11": differences.judge_g11},
            needs=("gradients",),
            cases=5,
            longest=70,
            literal=few_of_every_rank("weights"),
        ),
        Experiment(
            "differences",
            act_differences,
            {"G12": differences.judge_g12},
            needs=("gradients",),
            cases=4,
            longest=70,
            literal=few_of_every_rank("differences"),
        ),
        Experiment(
            "nonfinite",
            act_nonfinite,
            {"N6": numerics.judge_n6},
            cases=3,
            longest=70,
            literal=small("nonfinite"),
        ),
        Experiment(
            "arguments",
            act_arguments,
            {"L5": layout.judge_l5, "L8": layout.judge_l8},
            cases=3,
            longest=70,
            literal=small("arguments"),
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
            literal=small("untracked"),
        ),
        Experiment(
            "surroundings",
            act_surroundings,
            {"S7": surroundings.judge_s7},
            cases=1,
            longest=70,
            literal=small("surroundings")[::2],
        ),
        Experiment("singles", act_singles, {"L7": layout.judge_l7}, cases=3, longest=70, literal=small("singles")),
    )
}


def judged_clauses() -> frozenset[str]:
    """Every clause that has a judge."""
    return frozenset(clause for experiment in EXPERIMENTS.values() for clause in experiment.judges)
