"""Inputs out of the ordinary: not finite, laid out or shaped otherwise, refused; and what surrounds a layer."""

from __future__ import annotations

from bnspec.cases.case import Case

from ..experiment import Experiment
from ..experiments.bad_input import act_bad_input
from ..experiments.layouts import act_arguments, act_formats, act_singles
from ..experiments.nonfinite import act_nonfinite
from ..experiments.surroundings import act_surroundings
from ..experiments.unscaled import act_beta_alone, act_unscaled, act_unshifted
from ..experiments.untracked import act_untracked
from ..judges import bad_input, constructions, layout, numerics, surroundings
from ..literals import small

UNSCALED = {
    "F1": constructions.judge_f1_unscaled,
    "R2": constructions.judge_r2_unscaled,
    "E1": constructions.judge_e1_unscaled,
    "G1": constructions.judge_g1_unscaled,
    "G2": constructions.judge_g2_unscaled,
}
INPUTS = (
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
        alike=True,
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
        alike=True,
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
        alike=True,
    ),
    Experiment(
        "untracked",
        act_untracked,
        {"E5": bad_input.judge_e5, "F1": constructions.judge_f1_untracked, "G1": constructions.judge_g1_untracked},
        needs=("untracked",),
        cases=3,
        longest=70,
        literal=small("untracked"),
        alike=True,
    ),
    Experiment(
        "unscaled", act_unscaled, UNSCALED, ("unscaled",), cases=2, longest=70, literal=small("unscaled"), alike=True
    ),
    Experiment(
        "unshifted",
        act_unshifted,
        UNSCALED,
        ("unshifted",),
        cases=2,
        longest=70,
        literal=small("unshifted"),
        alike=True,
    ),
    Experiment(
        "beta_alone",
        act_beta_alone,
        UNSCALED,
        ("beta_alone",),
        cases=2,
        longest=70,
        literal=small("beta_alone"),
        alike=True,
    ),
    Experiment(
        "surroundings",
        act_surroundings,
        {"S7": surroundings.judge_s7},
        cases=2,
        longest=70,
        literal=small("surroundings")[::2],
        alike=True,
    ),
    Experiment(
        "singles", act_singles, {"L7": layout.judge_l7}, cases=3, longest=70, literal=small("singles"), alike=True
    ),
)
