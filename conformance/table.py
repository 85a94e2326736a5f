"""Which experiment feeds which clauses: the one table that the engine reads."""

from __future__ import annotations

from .experiment import Experiment
from .tables.claims import CLAIMS
from .tables.grades import GRADES
from .tables.histories import HISTORIES
from .tables.inputs import INPUTS
from .tables.passes import PASSES
from .tables.relations import RELATIONS

EXPERIMENTS: dict[str, Experiment] = {
    experiment.name: experiment for experiment in (*PASSES, *HISTORIES, *RELATIONS, *INPUTS, *GRADES, *CLAIMS)
}


IN_HASTE = (
    ("history", "mixed_float16"),
    ("initial", "float64"),
    ("unscaled", "float64"),
    ("nonfinite", "float32"),
    ("random_history", "float64"),
    ("training", "float16"),
    ("untracked", "float64"),
    ("bad_input", "float64"),
    ("formats", "float64"),
    ("history", "float64"),
    ("evaluation", "mixed_float16"),
    ("second_order", "float64"),
    ("arguments", "float64"),
    ("reentrance", "float64"),
    ("memory", "float64"),
    ("forward_mode", "float64"),
    ("training", "mixed_bfloat16"),
    ("gradients", "mixed_float16"),
    ("life_cycle", "float32"),
    ("switch", "float64"),
    ("unshifted", "float64"),
    ("training", "float32"),
    ("cumulative", "float64"),
    ("repeats", "float32"),
    ("singles", "float64"),
    ("relations", "float64"),
    ("evaluation", "float32"),
    ("training", "float64"),
)
"""Experiments and dtypes whose blocks refuse most wrong layers of the museum a second, for who stops at the first
failure; the others follow. Measured: `docs/where-examples-pay.md`."""


def judged_clauses() -> frozenset[str]:
    """Every clause that has a judge."""
    return frozenset(clause for experiment in EXPERIMENTS.values() for clause in experiment.judges)
