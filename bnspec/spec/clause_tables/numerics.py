"""Family N: numerics."""

from __future__ import annotations

from bnspec.spec.clause import ENUMERATED, RARE, WIDE, Clause

NUMERICS: tuple[Clause, ...] = (
    Clause(
        id="N1",
        title="the class of the variance's algorithm",
        statement="The error of the variance, as the running variance, y and dx show it, reaches sqrt(u) at"
        " kappa* = u^-q, kappa = sqrt(1 + mu^2/s2). C: q below 3/8, one pass over squares; A: slope + 2 q above 35/12,"
        " or q above 5/8 where nothing grows, two passes; B: else, one pass with a running mean. MUST: no letter below"
        " that of the class declared, `twopass` A (B through y and dx), `stable` B.",
        why="Relative errors m u kappa^2, m u kappa and m u + (m u kappa)^2: set them to sqrt(u). The slope alone"
        " cannot tell the first from the last, both have slope 2. An output x alpha + shift errs by u kappa with an"
        " exact variance.",
        source="Chan, Golub & LeVeque 1983, Algorithms for computing the sample variance; google/flax#1491",
        bound="slope and q of a sweep over 25 condition numbers with m = 256; thresholds between the classes",
        level="GRADE",
        status="active",
        dtypes=WIDE,
        informative=ENUMERATED,
        fails_as="MUST",
    ),
    Clause(
        id="N2",
        title="finite results from ordinary input",
        statement='Inside the domain of chapter "domain", output, statistics and gradients are finite: constant'
        " channels at any offset, tiny variances, tiny eps, outliers. Beyond it the reach is measured.",
        why="v >= 0 and eps > 0 bound r by 1/sqrt(eps), and the domain keeps every product in range. A variance"
        " computed below zero is no excuse: it is a rounding error of the layer's own.",
        source="aiUIUC/pyAIUtils#46, tensorflow/tensorflow#118701, pytorch/pytorch#5410",
        bound="finite or not, and the bounds of F1, R2 and G1",
        status="active",
    ),
    Clause(
        id="N3",
        title="low precision is accumulated in float32",
        statement="Sums over half and bfloat16 input are accumulated in at least float32; parameters and buffers keep"
        " the dtype they were made with.",
        why="With 11 or 8 bits a running sum of ones stops at 2^11 or 2^8: the next one is half a unit in the last"
        " place.",
        source="pytorch/pytorch#147303, pytorch/pytorch#195701, tenstorrent/tt-metal#23876, Oneflow-Inc/oneflow#9381",
        bound='all bounds with u = 2^-24, plus one rounding to the storage format, chapter "statistics"',
        status="active",
        dtypes=("float16", "bfloat16", "mixed_float16", "mixed_bfloat16"),
        restates=("F1", "R2", "G1"),
    ),
    Clause(
        id="N4",
        title="float64 stays float64",
        statement="With float64 input, parameters and buffers nothing is rounded to float32 on the way, unless the"
        " dialect says so; then it is judged by that format.",
        why="One rounding to float32 is 2^29 roundings of float64: a defect, or a convention that is written down.",
        source="first principles; measured: float64 layers of Keras compute in float32 on three of four backends",
        bound="the bounds of F1, R2, G1 and G2 with u = 2^-53",
        status="active",
        dtypes=("float64",),
        restates=("F1", "R2", "G1"),
    ),
    Clause(
        id="N5",
        title="all sizes, all positions",
        statement="For m from 2 to 10^6 and for C, around powers of two, primes and the block sizes of kernels: each"
        " value is counted once, in output, statistics and gradients.",
        why="All information is put into one block or position (zeros then ones, a one-hot g at the tail), on integers"
        " whose float32 sums are exact: a lost remainder then changes the result, where random values would hide it.",
        source="ROCm/rocm-libraries#9030, NVIDIA/apex#1768, ROCm/MIOpen#2024",
        bound="e_y, e_rm, e_rv and gradient bounds; a few units of roundoff at any m where the sums are exact",
        status="active",
        restates=("F1", "R2", "G1"),
        dtypes=WIDE,
        informative=RARE,
    ),
    Clause(
        id="N6",
        title="NaN and infinity stay where they are",
        statement="Training, a > 0, one NaN in channel j: all of y_j is NaN, and for an infinity none of it is finite;"
        " rm_j or rv_j is not finite; other channels are as without it, their gradients too. Evaluation, gamma != 0:"
        " that position alone, NaN to NaN and +-inf to +-sign(gamma) inf. A NaN in g: all of dx_j in training, that"
        " position in evaluation, and d_gamma_j, d_beta_j; for an infinity in g none of these is finite. A NaN in rv_j:"
        " all of y_j in evaluation, and where a < 1 training leaves it.",
        why="mu_j is infinite or NaN, so the deviation of the value itself, s2 and r are NaN, and NaN times anything is"
        " NaN. In evaluation nothing is summed. a = 0 leaves the buffers (R5), and 0 times infinity is NaN. A clamp by"
        " IEEE 754's maxNum gives 0 for a NaN s2: then rm_j alone tells, and y_j of an infinity is infinite but where"
        " it stood.",
        source="IEEE 754-2019, section 6",
        bound="NaN, infinite with its sign, or not finite; e_y, e_rm, e_rv and the gradient bounds in other channels",
        status="active",
        informative=RARE,
    ),
    Clause(
        id="N7",
        title="headroom below the bounds",
        statement="By how many bits the worst error of y, of the running statistics and of the gradients stays below"
        " its bound in class `stable`, in training, at means of up to u^-1/2/10 deviations among others. SHOULD: it"
        " stays below.",
        why="A bound holds for every order of summation; how much of it is used tells good kernels from just legal"
        " ones.",
        source="first principles",
        bound="-log2 of error over bound; e_y, e_rm, e_rv and the gradient bounds of class `stable`",
        level="GRADE",
        status="active",
        informative=ENUMERATED,
        restates=("F1", "R2", "G1"),
        fails_as="SHOULD",
    ),
    Clause(
        id="N8",
        title="how far results can be repeated",
        statement="Which of these keep every bit: another run, another number of threads, other rows in the batch (in"
        " evaluation), another layout of the same values. MUST: those that are declared.",
        why="The exact result is the same; equal bits need an equal order of operations too.",
        source="first principles; pytorch/pytorch#121651",
        bound="bit for bit, reported for each",
        level="GRADE",
        status="active",
        dtypes=WIDE,
        informative=ENUMERATED,
        fails_as="MUST",
    ),
)
