"""Family D: synchronised batch norm. Kept so that the id exists."""

from __future__ import annotations

from bnspec.spec.clause import Clause

DISTRIBUTED: tuple[Clause, ...] = (
    Clause(
        id="D1",
        title="shards are one batch",
        statement="For any split of a batch over ranks, unequal and empty shards included: output, gradients and"
        " buffers are those of one layer on the whole batch.",
        why="mu = sum (m_i/m) mu_i and s2 = sum (m_i/m)(s2_i + (mu_i - mu)^2): the means of the shards enter the"
        " variance, and each shard by its own count. The average of the s2_i lacks the spread of the mu_i.",
        source="Chan, Golub & LeVeque 1983; pytorch/pytorch#22192, NVIDIA/apex#387, sony/nnabla#1120",
        bound="the bounds of the class `stable` with m of the whole batch",
    ),
)
