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


def judged_clauses() -> frozenset[str]:
    """Every clause that has a judge."""
    return frozenset(clause for experiment in EXPERIMENTS.values() for clause in experiment.judges)
