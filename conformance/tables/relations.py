"""Relations between passes whose inputs, buffers or weights differ in a known way."""

from __future__ import annotations

from dataclasses import replace

from ..experiment import Experiment
from ..experiments.differences import act_differences
from ..experiments.exchanges import act_exchanges
from ..experiments.relations import act_relations
from ..experiments.weights import act_weights
from ..judges import claims, differences, evaluation, relations
from ..literals import every_rank, few_of_every_rank

RELATIONS = (
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
        alike=True,
    ),
    Experiment(
        "exchanges",
        act_exchanges,
        {"E6": evaluation.judge_e6, "E7": evaluation.judge_e7},
        needs=("evaluation", "running_statistics"),
        cases=4,
        longest=70,
        literal=(*few_of_every_rank("exchanges"), *(replace(c, eps=1e-8) for c in few_of_every_rank("exchanges"))),
        alike=True,
    ),
    Experiment(
        "weights",
        act_weights,
        {"G11": differences.judge_g11},
        needs=("gradients",),
        cases=5,
        longest=70,
        literal=few_of_every_rank("weights"),
        alike=True,
    ),
    Experiment(
        "differences",
        act_differences,
        {"G12": differences.judge_g12, "C2": claims.judge_c2},
        needs=("gradients",),
        cases=4,
        longest=70,
        literal=few_of_every_rank("differences"),
    ),
)
