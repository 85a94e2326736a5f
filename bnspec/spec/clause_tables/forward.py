"""Family F: the forward in training."""

from __future__ import annotations

from bnspec.spec.clause import COSTLY, RARE, SHORT, WIDE, Clause

FORWARD: tuple[Clause, ...] = (
    Clause(
        id="F1",
        title="the output is the definition",
        statement="y = gamma (x - mu)/sqrt(v + eps) + beta, elementwise, with mu and v of this batch (of the buffers"
        " where the dialect is frozen), whatever the input object held before and on any number of threads.",
        why="The definition. eps stands inside the root: every implementation measured so far has it there.",
        source="Ioffe & Szegedy 2015, Algorithm 1; jax-ml/jax#442, Tencent/ncnn#311",
        bound='e_y of chapter "output"',
        status="active",
    ),
    Clause(
        id="F2",
        title="mean and width of the output",
        statement="mean(y) = beta and (1/m) sum (y - beta)^2 = gamma^2 (K/m)(1 - delta); with gamma = 1 and beta = 0,"
        " as after construction: mean 0 and variance (K/m)(1 - delta), a little below 1.",
        why="sum xh = 0 gives the mean. sum xh^2 = r^2 sum (x - mu)^2 = r^2 K v = K (1 - delta), as K v = m s2 and"
        " v r^2 = 1 - delta; times gamma^2/m gives the width.",
        source="Ioffe & Szegedy 2015, section 3; the first notes of this project: roughly gaussian only at"
        " initialisation",
        bound="mean: (1/m) sum e_y; width: (1/m) sum (2 |y - beta| e_y + e_y^2)",
        status="active",
        needs=("batch_statistics",),
        diagnostic=True,
        dtypes=WIDE,
    ),
    Clause(
        id="F3",
        title="scale and offset of the input cancel",
        statement="Let |c| be one power of two for all channels, the sign of c and the offset o free per channel, and"
        " c x + o exact. Then y(c x + o; c^2 eps) - beta = sign(c) (y(x; eps) - beta).",
        why="The mean becomes c mu + o and v becomes c^2 v, so the root is |c| sqrt(v + eps) and xh keeps all but the"
        " sign of c. eps is a scalar, hence one |c|; c^2 eps is exact, being a power of four times eps.",
        source="Ioffe & Szegedy 2015, section 3.3; jax-ml/jax#442, google/flax#1491",
        bound='|difference| <= e_y(x) + e_y(c x + o), each at its own input and eps; chapter "relations"',
        status="active",
        needs=("batch_statistics",),
        informative=SHORT,
    ),
    Clause(
        id="F4",
        title="examples have no order",
        statement="A permutation of the m values of a channel, another one in each, permutes y in the same way and"
        " leaves rm and rv; permuting g along permutes dx and leaves d_gamma and d_beta.",
        why="mu, s2, d_gamma and d_beta are symmetric functions of the m values, or of the m pairs with g; y_i and dx_i"
        " read x_i, g_i and these alone.",
        source="Ioffe & Szegedy 2015, Algorithm 1; parasdahal/deepnet#11",
        bound='|difference| <= twice the bound of each quantity, which no order enters; chapter "relations"',
        status="active",
        informative=SHORT,
    ),
    Clause(
        id="F5",
        title="channels are independent",
        statement="Output, statistics and gradients of channel j depend on x, gamma, beta, rm, rv and g of channel j"
        " alone; a permutation of the channels with their parameters and buffers permutes everything.",
        why="Each formula is written per channel; nothing is summed over channels.",
        source="Ioffe & Szegedy 2015, section 3; ap229997/Conditional-Batch-Norm#5, sharathadavanne/seld-dcase2021#8",
        bound='|difference| <= twice the bound of the quantity, which other channels do not enter; chapter "relations"',
        status="active",
        needs=("several_channels",),
        informative=RARE,
    ),
    Clause(
        id="F6",
        title="only the number of values matters",
        statement="x of shape (N, C, D1, ..., Dk) and the same values as (m, C) or any shape of another rank give the"
        " same y after reshaping, the same rm and rv, and the same gradients.",
        why="N, D1, ..., Dk enter the formulas through their product m alone.",
        source="Ioffe & Szegedy 2015, section 3.2; FluxML/NNlib.jl#548",
        bound='|difference| <= the sum of both bounds, equal as m is equal; chapter "relations"',
        status="active",
        needs=("several_ranks",),
        informative=SHORT,
    ),
    Clause(
        id="F7",
        title="shape kept, arguments untouched",
        statement="y has the shape and the device of x and the dtype that the dialect gives; a training pass, backward"
        " included, leaves x, gamma and beta; whoever returns new running statistics leaves those it was given.",
        why="A layer is a function of its input: whoever holds x or the parameters may read them again.",
        source="flagos-ai/FlagGems#6332",
        bound="bit for bit; shape, device and dtype are equal or not",
        status="active",
    ),
    Clause(
        id="F8",
        title="linear in gamma and beta",
        statement="On one batch, y at (s gamma1 + t gamma2, s beta1 + t beta2) = s y(gamma1, beta1) + t y(gamma2,"
        " beta2); y = beta where gamma = 0, and negative, zero and distinct gammas are ordinary.",
        why="y = gamma xh + beta, and xh does not depend on either parameter.",
        source="Ioffe & Szegedy 2015, Algorithm 1; mapillary/inplace_abn#92, pytorch/pytorch#85744",
        bound="|difference| <= e_y of the combination + |s| e_y1 + |t| e_y2; the combined parameters are exact",
        status="active",
        needs=("affine",),
        informative=SHORT,
    ),
    Clause(
        id="F9",
        title="the batch written twice",
        statement="Where K = m: the batch followed by itself gives the output followed by itself.",
        why="Twice the sums over twice the count: mu and s2 stay. (K = m - 1 changes v by (m-1)/(m-1/2) and is left"
        " out.)",
        source="Ioffe & Szegedy 2015, Algorithm 1; parasdahal/deepnet#11",
        bound='|difference| <= e_y(m) + e_y(2m); chapter "relations"',
        status="active",
        needs=("biased_normalisation",),
        informative=SHORT,
        diagnostic=True,
    ),
    Clause(
        id="F10",
        title="the shape of a distribution is kept",
        statement="With M_k(z) = mean (z - mean z)^k: M_3(y)/M_2(y)^1.5 = sign(gamma) M_3(x)/M_2(x)^1.5 and"
        " M_4(y)/M_2(y)^2 = M_4(x)/M_2(x)^2. Says nothing where s2 = 0 or gamma = 0.",
        why="y is affine in x with slope gamma r, and M_k(y) = (gamma r)^k M_k(x): place and width are set, skewness"
        " and kurtosis stay. Nothing is forced to be gaussian.",
        source="the first notes of this project: not forced to be gaussians always",
        bound="e_y through the centred moments and their quotients, as intervals",
        status="active",
        diagnostic=True,
        dtypes=WIDE,
    ),
    Clause(
        id="F11",
        title="how far one value can stand out",
        statement="|y - beta| <= |gamma| sqrt((m - 1)(K/m)(1 - delta)), with equality where all other values of the"
        " channel are equal; outputs are not clipped below that.",
        why="The other deviations sum to -d_i, so d_i^2 <= (m-1)(m s2 - d_i^2) by Cauchy-Schwarz, hence d_i^2 <="
        " (m-1) s2; and s2 r^2 = (K/m) v r^2 = (K/m)(1 - delta).",
        source="Samuelson 1968, How deviant can you be?, JASA 63; pytorch/pytorch#5410",
        bound="e_y above the right-hand side; for a one-hot channel e_y on both sides",
        status="active",
        needs=("batch_statistics",),
        informative=COSTLY,
        dtypes=WIDE,
    ),
    Clause(
        id="F12",
        title="the same run, the same bits",
        statement="Two training passes on the same input from the same state give the same bits in y, rm, rv and the"
        " gradients. The number of threads is recorded.",
        why="No formula draws a random number; what differs comes from the order of summation alone.",
        source="first principles",
        bound="bit for bit",
        level="SHOULD",
        status="active",
        informative=SHORT,
    ),
    Clause(
        id="F13",
        title="training ignores the running statistics",
        statement="Where the dialect normalises training with the batch: y and the gradients of a training pass do not"
        " depend on rm, rv or momentum.",
        why="F1 and G1 read mu and v of the batch; rm, rv and a do not occur in them.",
        source="microsoft/onnxruntime#29790, patrick-kidger/equinox#948, bonlime/pytorch-tools#97",
        bound="|difference| <= 2 e_y, as both passes have the same exact answer",
        status="active",
        needs=("running_statistics", "batch_statistics"),
        informative=SHORT,
    ),
)
