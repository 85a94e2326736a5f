"""Family L: layout and shape. Layouts have axes longer than 1 or canonical strides; L7 has the others."""

from __future__ import annotations

from bnspec.spec.clause import COSTLY, RARE, WIDE, Clause

SAME_ANSWER = "e_y, e_rm, e_rv and gradient bounds, as for a contiguous copy"

LAYOUT: tuple[Clause, ...] = (
    Clause(
        id="L1",
        title="strides of x do not matter",
        statement="x contiguous, transposed, strided, sliced with an offset, broadcast (stride 0) or read-only: the"
        " output, statistics and gradients of its values.",
        why="A layout says where values lie, not which values they are.",
        source="pytorch/pytorch#63224, pytorch/pytorch#134580",
        bound=SAME_ANSWER,
        status="active",
        restates=("F1", "R2", "G1"),
        dtypes=WIDE,
        informative=COSTLY,
    ),
    Clause(
        id="L2",
        title="channels last, ranks 4 and 5",
        statement="x of rank 4 or 5 stored with the channel innermost: the same answer as contiguous.",
        why="As L1; shipped kernels have a path of their own for it, with its own sums and its own backward.",
        source="pytorch/pytorch#62594, pytorch/pytorch#175189, PaddlePaddle/Paddle#37020",
        bound=SAME_ANSWER,
        status="active",
        needs=("images",),
        restates=("F1", "R2", "G1"),
        informative=COSTLY,
        dtypes=WIDE,
    ),
    Clause(
        id="L3",
        title="coincidences of the shape",
        statement="C = 1; N = 1 with positions; N = C; D1 = C; and all dimensions different: F1, R2 and G1 hold.",
        why="A reduction over the wrong axis, or a broadcast along it, raises for most shapes and is silent where two"
        " lengths agree; where all differ no mix-up cancels.",
        source="parasdahal/deepnet#11, sharathadavanne/seld-dcase2021#8, intel/ipex-llm#2981",
        bound=SAME_ANSWER,
        status="active",
        restates=("F1", "R2", "G1"),
        dtypes=WIDE,
        informative=RARE,
    ),
    Clause(
        id="L4",
        title="every promised rank",
        statement="Each promised rank gives F1, R2, E1, G1 and G2.",
        why="A promise that is not kept is a failure, not a skip.",
        source="FluxML/NNlib.jl#548, Oneflow-Inc/oneflow#7454",
        bound=SAME_ANSWER,
        status="active",
        restates=("F1", "R2", "G1"),
    ),
    Clause(
        id="L5",
        title="strides of parameters and buffers",
        statement="gamma, beta, rm and rv under another layout: the same output, and the update arrives in the buffer"
        " that was given, not in a copy. G6 has the layouts of g, L8 the gradients.",
        why="As L1, for arguments whose layout is rarely varied.",
        source="pytorch/pytorch#33867, deeplearning4j/deeplearning4j#8860, intel/torch-xpu-ops#2887",
        bound=SAME_ANSWER,
        status="active",
        informative=RARE,
    ),
    Clause(
        id="L6",
        title="the memory format is kept",
        statement="Where the framework has memory formats, y has that of x, and dx where g has it too.",
        why="A neighbour written for one format copies when it is handed another: right, and slow.",
        source="pytorch/pytorch#107199, pytorch/pytorch#192681",
        bound="strides are equal or not",
        level="SHOULD",
        status="active",
        needs=("memory_formats", "images"),
        informative=(1, 4, 32),
    ),
    Clause(
        id="L7",
        title="axes of length one",
        statement="An axis of length 1 may carry any stride: forward and gradients do not depend on it.",
        why="The stride of such an axis is never stepped; but layouts are guessed from strides, and a guess can fail.",
        source="first principles; measured: shipped layers differ, hence SHOULD",
        bound=SAME_ANSWER,
        level="SHOULD",
        status="active",
        informative=RARE,
    ),
    Clause(
        id="L8",
        title="strides of parameters in the backward",
        statement="gamma, beta, rm and rv under another layout, and g stored as x is: the same gradients.",
        why="As L5. A clause of its own because shipped kernels read gamma and rv by a flat pointer there, and get"
        " another channel's.",
        source="measured: torch 2.13.0 on a CPU gives another dx, and in evaluation another d_gamma, where x and g are"
        " stored with the channel innermost, rank 2 included; hence SHOULD",
        bound=SAME_ANSWER,
        level="SHOULD",
        status="active",
        needs=("gradients",),
        informative=RARE,
    ),
)
