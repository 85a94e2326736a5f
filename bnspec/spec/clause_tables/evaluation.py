"""Family E: evaluation."""

from __future__ import annotations

from bnspec.spec.clause import RARE, SHORT, Clause

EVALUATION: tuple[Clause, ...] = (
    Clause(
        id="E1",
        title="the output by the running statistics",
        statement="y = gamma (x - rm)/sqrt(rv + eps) + beta, elementwise, with the buffers and parameters of this"
        " moment: a scale and shift folded earlier must not outlive a write to any of the four.",
        why="The definition of inference: the batch's mean and variance are replaced by the running ones.",
        source="Ioffe & Szegedy 2015, Algorithm 2; PaddlePaddle/Paddle#68170, apache/tvm#19574,"
        " ROCm/rocm-libraries#2492",
        bound='e_y of chapter "evaluation"',
        status="active",
        needs=("evaluation", "running_statistics"),
    ),
    Clause(
        id="E2",
        title="evaluating twice gives the same bits",
        statement="Evaluating the same input object twice, with nothing in between, gives the same bits.",
        why="E1 is a function of input and state, and E4 leaves the state: nothing has changed.",
        source="pytorch/pytorch#586, torchgan/torchgan#146",
        bound="bit for bit",
        status="active",
        needs=("evaluation",),
    ),
    Clause(
        id="E3",
        title="examples are independent in evaluation",
        statement="Row i of y depends on row i of x alone: a part of the batch, other rows around it, or a batch of one"
        " give the same row.",
        why="rm, rv, gamma and beta are the same for all rows, and E1 has no sum over the batch.",
        source="PaddlePaddle/Paddle#74140, apache/tvm#19574",
        bound="|difference| <= 2 e_y; bit for bit is graded by N8",
        status="active",
        needs=("evaluation", "running_statistics"),
        informative=SHORT,
    ),
    Clause(
        id="E4",
        title="evaluation leaves the state",
        statement="A forward and a backward in evaluation leave rm, rv, the counter, gamma and beta, and x and g.",
        why="E1 and G2 read the state and define no update.",
        source="FluxML/Flux.jl#1429",
        bound="bit for bit",
        status="active",
        needs=("evaluation", "running_statistics"),
    ),
    Clause(
        id="E5",
        title="evaluation without running statistics",
        statement="Of a layer built without running statistics, evaluation does what the dialect says: normalise with"
        " the batch (F1, and one value per channel as in training) or refuse.",
        why="There is no running mean to use; the implementations differ in what stands in, and each says so.",
        source="FluxML/NNlib.jl#576, pytorch/pytorch#156051, pytorch/pytorch#56982",
        bound='e_y of chapter "output", or an exception',
        status="active",
        needs=("untracked", "untracked_evaluation"),
        informative=RARE,
    ),
    Clause(
        id="E6",
        title="train with a = 1, then evaluate",
        statement="After one training batch x with a = 1, evaluating x gives gamma (x - mu)/sqrt(b s2 + eps) + beta:"
        " the training output with v replaced by the stored variance.",
        why="With a = 1 R2 makes rm = mu and rv = b s2; put them into E1.",
        source="from R2 and E1; soumith/cudnn.torch#109, chainer/chainer#4505",
        bound='e_y of chapter "output" at mu and b s2, with e_rm and e_rv of R2 at a = 1 for e_mu and e_v; chapter'
        ' "relations"',
        status="active",
        needs=("evaluation", "running_statistics", "full_weight"),
        diagnostic=True,
        informative=RARE,
    ),
    Clause(
        id="E7",
        title="variance and eps can be exchanged",
        statement="(rv + d, eps - d) gives the same output as (rv, eps), for d with rv + d exact and eps - d > 0.",
        why="E1 reads rv and eps through their sum alone.",
        source="tensorflow/tensorflow#59307",
        bound='|difference| <= the sum of both e_y; chapter "relations"',
        status="active",
        needs=("evaluation", "running_statistics", "free_eps"),
        informative=RARE,
    ),
    Clause(
        id="E8",
        title="outputs handed out stay as they are",
        statement="An output is not overwritten by a later call of the same layer, in evaluation or in training, with"
        " recording or without.",
        why="Whoever holds y holds values; a buffer used again for the next call would change them unseen.",
        source="first principles",
        bound="bit for bit",
        status="active",
        needs=("evaluation",),
        informative=RARE,
    ),
)
