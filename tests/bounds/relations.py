"""The bounds of relations and consequences, tried by the experiments themselves on right layers at many seeds."""

from __future__ import annotations

import numpy as np

import bnspec
from bnspec.layers.target import load_target
from bnspec.mutants.table import RIGHT_LAYERS
from tests.bounds.tally import Tally

RELATIONS = ("F3", "F4", "F5", "F6", "F9", "E6", "E7", "G11", "G12")
CONSEQUENCES = ("F2", "F10", "F11", "G3", "G5")
TORCH = ("torch.nn:BatchNorm1d", "torch.nn:BatchNorm2d", "torch.nn:BatchNorm3d", "torch.nn.functional:batch_norm")
TARGETS: dict[str, str] = dict.fromkeys(TORCH, "torch") | {layer.target: layer.dialect for layer in RIGHT_LAYERS}
"""Right layers by target, with their dialects."""


def try_relations(target: str, seed: int, tally: Tally, clauses: tuple[str, ...] = RELATIONS + CONSEQUENCES) -> None:
    """One layer through the smallest profile of the experiments, in every precision that it promises."""
    certificate = bnspec.certify(
        load_target(target).obj, dialect=TARGETS[target], profile="smoke", seed=seed, clauses=clauses
    )
    report = certificate.targets[0]
    for clause in clauses:
        for cell in report.clause(clause).cells:
            if cell.worst_ratio is not None:
                tally.count("relations", cell.executed)
                where = f"--seed {seed} --case {cell.case}"
                tally.add((cell.dtype, target, "relation", clause), np.array([cell.worst_ratio]), where)
