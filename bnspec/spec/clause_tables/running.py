"""Family R: the running statistics."""

from __future__ import annotations

from bnspec.spec.clause import COSTLY, RARE, SHORT, WIDE, Clause

BUFFERS = ("running_statistics",)
OWN_BUFFERS = ("running_statistics", "initial_state")

RUNNING: tuple[Clause, ...] = (
    Clause(
        id="R1",
        title="initial values and constant shape",
        statement="After construction rm = 0 and rv = 1 (or what the dialect says) and the counter, where there is one,"
        " is 0; both buffers have the dialect's shape and keep it whatever the layer is fed.",
        why="With mean 0 and variance 1 an untrained layer evaluates to gamma x/sqrt(1 + eps) + beta, near the"
        " identity; a buffer whose shape drifts breaks saved states and broadcasts.",
        source="google-deepmind/dm-haiku#361; measured: a (C,) buffer that becomes (1, C) after one batch",
        bound="bit for bit; shapes are equal or not",
        status="active",
        needs=OWN_BUFFERS,
        informative=RARE,
    ),
    Clause(
        id="R2",
        title="one batch updates both buffers",
        statement="After a training batch rm' = (1-a) rm + a mu and rv' = (1-a) rv + a b s2, from any starting"
        " buffers.",
        why="An exponential average. b = m/(m-1) makes the stored variance an unbiased estimate of the population's:"
        " E[s2] = sigma^2 (m-1)/m for independent values.",
        source="Ioffe & Szegedy 2015, Algorithm 2; ml-explore/mlx#3817, keras-team/keras#8982,"
        " tensorflow/tensorflow#55545, onnx/onnx#3415, Oneflow-Inc/oneflow#6055",
        bound='e_rm and e_rv of chapter "running statistics"',
        status="active",
        needs=BUFFERS,
    ),
    Clause(
        id="R3",
        title="a history of unequal batches",
        statement="After k training batches of unequal sizes and of any promised ranks, k up to 64, rm = prod(1-a_i)"
        " rm_0 + sum_i a_i mu_i prod_{l>i}(1-a_l), and likewise rv: no batch is lost, doubled or weighted"
        " otherwise. y and the gradients of the last batch are still F1 and G1.",
        why="R2 applied k times; each weight is the product of what later batches left of it.",
        source="microsoft/onnxruntime#19742, paiml/aprender#2166, Oneflow-Inc/oneflow#9381, keras-team/keras#8794",
        bound="E_k = (1-a) E_{k-1} + e_rm of step k, likewise for rv; e_y and gradient bounds for the last batch",
        status="active",
        needs=BUFFERS,
        dtypes=WIDE,
        informative=SHORT,
    ),
    Clause(
        id="R4",
        title="momentum None is the plain average",
        statement="Where momentum=None is offered: after k training batches with m >= 2, counted from construction or"
        " reset, rm = (1/k) sum mu_i and rv = (1/k) sum b_i s2_i; the initial values are forgotten with the first.",
        why="a_k = 1/k in R2: A_k = A_{k-1} + (q_k - A_{k-1})/k is the mean of q_1..q_k. Each batch counts once,"
        " whatever its m.",
        source="PyTorch, documentation of BatchNorm2d; pytorch/pytorch#194504",
        bound="the recursion of R3 with a_k = 1/k",
        status="active",
        needs=("running_statistics", "cumulative"),
        informative=RARE,
    ),
    Clause(
        id="R5",
        title="every weight from 0 to 1",
        statement="Where the average is plain: a = 0 leaves rm and rv, a = 1 replaces them by mu and b s2, and every a"
        " in [0, 1] is honoured at the precision of the buffers (or of the dialect's constants).",
        why="Both ends are exact in R2: (1-0) rm + 0 mu = rm and (1-1) rm + 1 mu = mu, for finite values. Weights in"
        " between show a clamped, swapped, hard-coded or coarsely rounded momentum.",
        source="mlcommons/algorithmic-efficiency#783, pytorch/xla#220, pytorch/pytorch#15298",
        bound='a = 0: bit for bit, -0 counting as 0; else e_rm and e_rv of chapter "running statistics"',
        status="active",
        needs=BUFFERS,
        informative=RARE,
    ),
    Clause(
        id="R6",
        title="the count is batch times positions",
        statement="m in mu, s2 and b is N D1 ... Dk: with positions, the Bessel factor is m/(m-1), not N/(N-1) nor"
        " that of the positions.",
        why="The variance is estimated from all m values of the channel. N/(N-1) exceeds 1 by (m-1)/(N-1) times as much"
        " as m/(m-1) does, which shows for small N.",
        source="NervanaSystems/ngraph-tf#357",
        bound='e_rm and e_rv of chapter "running statistics", for ranks above 2',
        status="active",
        needs=("running_statistics", "positions"),
        restates=("R2",),
        dtypes=WIDE,
        informative=RARE,
    ),
    Clause(
        id="R7",
        title="one update a training forward",
        statement="A training forward makes exactly one update: with recording off, where nothing needs a gradient, and"
        " where any subset of x, gamma, beta does; a backward makes none.",
        why="R2 speaks of the forward alone; who asks for gradients is not among its arguments.",
        source="facebookresearch/fairscale#1035, Tencent/YOLO-Master#262, FluxML/Flux.jl#1429, ml-explore/mlx#1960",
        bound="e_rm and e_rv after the forward; bit for bit over the backward",
        status="active",
        needs=("running_statistics", "loadable"),
    ),
    Clause(
        id="R8",
        title="buffers carry no gradient history",
        statement="After a training pass on an input that needed a gradient, rm and rv hold no graph; once the pass is"
        " dropped and later ones have run, its input can be collected: memory does not grow with the batches.",
        why="rm and rv are averages of observed numbers, not functions to be differentiated. Kept on the graph, each"
        " update holds its batch and through rm its predecessor, hence every batch since the first.",
        source="facebookresearch/synsin#20, d2l-ai/d2l-en#1342",
        bound="no graph on either buffer, and the input of a dropped pass is gone: yes or no",
        status="active",
        needs=("running_statistics", "kept_statistics", "gradients"),
        informative=COSTLY,
    ),
    Clause(
        id="R9",
        title="layers do not share buffers",
        statement="Training one layer leaves rm, rv and the counter of every other layer, of the same or another size.",
        why="Buffers are the state of one layer; a default made once for the class would be common to all.",
        source="first principles",
        bound="bit for bit",
        status="active",
        needs=OWN_BUFFERS,
        informative=COSTLY,
    ),
    Clause(
        id="R10",
        title="rv holds the variance itself",
        statement="rv averages b s2: eps does not enter it, and it is neither the deviation nor 1/sqrt(s2 + eps)."
        " Cases take eps up to 1.",
        why="eps belongs to the denominator of F1 and E1. Leaked into rv it enters the evaluation twice; at eps = 1e-5"
        " and s2 = 1 that hides below most tolerances.",
        source="chainer/chainer#4505, nntrainer/nntrainer#677, soumith/cudnn.torch#109",
        bound='e_rv of chapter "running statistics", at eps comparable with s2',
        status="active",
        needs=("running_statistics", "visible_eps"),
        dtypes=WIDE,
        restates=("R2",),
        informative=RARE,
    ),
    Clause(
        id="R11",
        title="the counter counts batches",
        statement="The counter grows by one with each training batch of m >= 2 that returned an output, recorded or"
        " not, and with nothing else. What an empty batch counts is the dialect's; refused ones are B9's.",
        why="The plain average (R4) divides by it: one batch too many and every later average is wrong.",
        source="pytorch/pytorch#110361; measured: torch.nn.BatchNorm* counts an empty batch",
        bound="equal integers",
        status="active",
        needs=("running_statistics", "counter", "batch_statistics"),
    ),
    Clause(
        id="R12",
        title="a reset restores the beginning",
        statement="Where a reset of the running statistics is offered: after it rm, rv and the counter are as R1 says,"
        " gamma and beta as they were, an evaluation is by the initial statistics, whatever was evaluated before, and"
        " the next batch is averaged in as the first.",
        why="A reset means construction without new parameters.",
        source="PyTorch, documentation of reset_running_stats",
        bound="bit for bit; e_rm and e_rv of the next batch",
        status="active",
        needs=("running_statistics", "resets"),
        informative=COSTLY,
    ),
)
