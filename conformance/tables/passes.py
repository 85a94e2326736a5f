"""Passes: one forward and its backward, new or loaded, in training and in evaluation."""

from __future__ import annotations

from bnspec.cases.case import Case

from ..experiment import Experiment
from ..experiments.evaluation import act_evaluation
from ..experiments.gradients import act_gradients
from ..experiments.jacobian import act_jacobian
from ..experiments.second_order import act_forward_mode, act_second_order
from ..experiments.training import act_training
from ..experiments.variants import act_variants
from ..judges import (
    bad_input,
    claims,
    consequences,
    coverage,
    evaluation,
    forward,
    gradients,
    running,
    second_order,
)
from ..literals import (
    as_in_networks,
    every_layout,
    every_rank,
    for_derivatives,
    in_low_precision,
    kinds_of_parameters,
    on_threads,
    round_sizes,
)

PASSES = (
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
        "first",
        act_training,
        {
            "F1": forward.judge_f1,
            "R2": running.judge_r2,
            "R11": running.judge_r11,
            "G1": gradients.judge_g1,
        },
        needs=("late_statistics",),
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
            *round_sizes("training"),
            *kinds_of_parameters("training", "trivial", "zero", "new", "blank"),
            *on_threads("training"),
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
        literal=(
            *every_rank("evaluation"),
            *as_in_networks("evaluation"),
            *round_sizes("evaluation"),
            *kinds_of_parameters("evaluation", "trivial", "zero", "dead", "new", "blank"),
            *on_threads("evaluation"),
            Case("evaluation", "float32", (1, 3, 22003), 0.1, 0.3),
        ),
        low_cases=3,
        low_literal=in_low_precision("evaluation")[:8],
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
        literal=(
            *(case for case in every_rank("gradients") if case.count < 30),
            *kinds_of_parameters("gradients", "trivial"),
        ),
        low_cases=2,
        low_literal=in_low_precision("gradients")[:4],
        alike=True,
    ),
    Experiment(
        "jacobian",
        act_jacobian,
        {"G4": gradients.judge_g4, "C4": claims.judge_c4},
        needs=("gradients",),
        cases=4,
        longest=6,
        literal=tuple(
            Case("jacobian", "float32", shape, 0.1, 0.3, training=training)
            for shape in ((4, 3), (2, 2, 3), (2, 3, 1, 2), (1, 3, 2, 2, 1), (3, 2))
            for training in (True, False)
        ),
        alike=True,
    ),
    Experiment(
        "second_order",
        act_second_order,
        {"G10": second_order.judge_g10},
        needs=("gradients", "second_order"),
        cases=4,
        longest=70,
        literal=for_derivatives("second_order"),
        alike=True,
    ),
    Experiment(
        "forward_mode",
        act_forward_mode,
        {"G13": second_order.judge_g13},
        needs=("forward_mode",),
        cases=4,
        longest=70,
        literal=for_derivatives("forward_mode"),
        first=1,  # the forward mode of torch's own kernels loads torch's compiler, which takes seconds
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
        alike=True,
    ),
)
