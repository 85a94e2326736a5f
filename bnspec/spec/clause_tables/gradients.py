"""Family G: gradients. g is drawn, not constant and not in span{1, xh}: there dx nearly vanishes, right or wrong."""

from __future__ import annotations

from bnspec.spec.clause import COSTLY, FROM_STANDARD, RARE, SHORT, WIDE, Clause

BACKWARD = ("gradients",)

GRADIENTS: tuple[Clause, ...] = (
    Clause(
        id="G1",
        title="gradients of a training pass",
        statement="d_beta = sum g, d_gamma = sum g xh, dx = gamma r (g - d_beta/m - xh d_gamma/K).",
        why="dmu/dx_j = 1/m and dv/dx_j = 2 (x_j - mu)/K, so dr/dx_j = -(r^3/2) dv/dx_j = -r^2 xh_j/K and"
        " dxh_i/dx_j = r (1[i=j] - 1/m - xh_i xh_j/K). Multiply by gamma g_i and sum over i.",
        source="Ioffe & Szegedy 2015, section 3; deeplearning4j/deeplearning4j#8335, denizyuret/Knet.jl#288,"
        " flagos-ai/FlagGems#5222, abhiskk/ladder#2",
        bound='e_dx, e_dgamma, e_dbeta of chapter "gradients"',
        status="active",
        needs=BACKWARD,
    ),
    Clause(
        id="G2",
        title="gradients of an evaluation",
        statement="With t = 1/sqrt(rv + eps): dx = gamma t g, d_gamma = sum g (x - rm) t, d_beta = sum g.",
        why="rm and rv are constants here, so only the explicit x of E1 is differentiated.",
        source="tensorflow/tensorflow#10857, torch/nn#768, FluxML/Flux.jl#2179, vlfeat/matconvnet#1174",
        bound='e_dx, e_dgamma, e_dbeta of chapter "evaluation"',
        status="active",
        needs=("gradients", "evaluation", "running_statistics"),
    ),
    Clause(
        id="G3",
        title="dx is orthogonal to 1, nearly to xh",
        statement="In training, per channel: sum dx = 0 and sum dx xh = gamma r d_gamma delta.",
        why="sum xh = 0 leaves sum dx = gamma r (d_beta - d_beta). sum xh^2 = K (1 - delta) leaves"
        " gamma r (d_gamma - d_gamma (1 - delta)).",
        source="from G1; Ioffe & Szegedy 2015, section 3.3",
        bound="sum e_dx and sum |xh| e_dx",
        status="active",
        needs=("gradients", "batch_statistics"),
        diagnostic=True,
        dtypes=WIDE,
    ),
    Clause(
        id="G4",
        title="the Jacobian couples the examples",
        statement="dy_i/dx_j = gamma r (1[i=j] - 1/m - xh_i xh_j/K) in training; in evaluation"
        " gamma/sqrt(rv + eps) for i = j and 0 otherwise.",
        why="Row i is dx of G1, or of G2, for g = 1 at i and 0 elsewhere.",
        source="from G1 and G2; the first notes of this project: coupled in the forward and backward pass",
        bound='e_dx of chapter "gradients" (in evaluation of "evaluation") at a one-hot g',
        status="active",
        needs=BACKWARD,
        informative=RARE,
    ),
    Clause(
        id="G5",
        title="the loss is no steeper than before",
        statement="In training |dx|^2 = gamma^2 r^2 (|g|^2 - d_beta^2/m - (1 + delta) d_gamma^2/K), hence"
        " |dx| <= |gamma| r |g|.",
        why="Square G1. g with 1 and with xh gives -2 d_beta^2/m and -2 d_gamma^2/K; the squares give d_beta^2/m and"
        " (1 - delta) d_gamma^2/K; 1 and xh are orthogonal.",
        source="Santurkar et al. 2018, Theorem 4.1 (there an inequality, without eps)",
        bound="sum (2 |dx| e_dx + e_dx^2)",
        status="active",
        needs=("gradients", "batch_statistics"),
        diagnostic=True,
        dtypes=WIDE,
    ),
    Clause(
        id="G6",
        title="linear in g, of any layout",
        statement="All three gradients at s g1 + t g2 are s times those at g1 plus t times those at g2; g may be"
        " strided, expanded (stride 0), channels-last or constant, gives the gradients of its values, and is left.",
        why="G1 and G2 are sums and products with g to the first power, and name its values, not its strides.",
        source="mapillary/inplace_abn#155, deeplearning4j/deeplearning4j#8860, pytorch/pytorch#2000",
        bound="|difference| <= e + |s| e1 + |t| e2, each bound at its own g; g bit for bit",
        status="active",
        needs=BACKWARD,
        informative=SHORT,
    ),
    Clause(
        id="G7",
        title="every subset that needs a gradient",
        statement="For each non-empty subset of {x, gamma, beta}, those in it get the gradients of G1 or G2 and the"
        " others get none; the parameters alone and x alone included.",
        why="The three partial derivatives do not depend on which of them is asked for.",
        source="Oneflow-Inc/oneflow#5665, deeplearning4j/deeplearning4j#8623, PaddlePaddle/Paddle#38288",
        bound="e_dx, e_dgamma, e_dbeta for those in the subset; there is a gradient or there is none for the others",
        status="active",
        needs=("gradients", "gradient_subsets", "affine"),
        informative=SHORT,
    ),
    Clause(
        id="G8",
        title="passes do not disturb each other",
        statement="A backward gives the gradient of its own forward: after other training forwards, in either order"
        " of the backwards; a second time, where the first kept what it needs, or an error; after an"
        " evaluation or a change of mode; added up over two passes; and once to a gradient that is there"
        " already. Where the user wrote to parameters or buffers in between: that gradient still, or an"
        " error, never another number. What a later training forward writes is no such matter for a training"
        " pass; for an evaluation it is G14's.",
        why="G1 and G2 are functions of what the forward read. Scratch memory shared by passes, or statistics looked up"
        " again, belong to whichever pass ran last.",
        source="pytorch/pytorch#175024, pytorch/pytorch#2268, apache/mxnet#18499, apache/mxnet#9648",
        bound="e_dx, e_dgamma, e_dbeta of each pass; their sums where two are added up",
        status="active",
        needs=BACKWARD,
        informative=RARE,
    ),
    Clause(
        id="G9",
        title="zero and negative gamma are differentiated",
        statement="For gamma = 0: dx = 0, and d_gamma and d_beta are as for any other gamma; gamma < 0 turns the sign"
        " of dx and of nothing else.",
        why="gamma enters dx as a factor and the other two not at all: a backward that divides by gamma, or takes xh"
        " from (y - beta)/gamma, fails here.",
        source="pytorch/pytorch#85744, mapillary/inplace_abn#92",
        bound='e_dx, e_dgamma, e_dbeta of chapter "gradients"',
        status="active",
        needs=("gradients", "affine"),
        restates=("G1",),
        dtypes=WIDE,
    ),
    Clause(
        id="G10",
        title="second order, or a clear error",
        statement="For directions u, a, b let L2 = <u, dx> + <a, d_gamma> + <b, d_beta>, h = d_gamma/K, q = sum(u"
        " xh)/K, w = g - mean(g) - xh h, s = u - mean(u) - xh q. In training dL2/dx = a r w - gamma r^2 (q w +"
        " h s + xh sum(u w)/K) and dL2/dgamma = r sum(u w); in evaluation a t g and t sum(u g), t = 1/sqrt(rv"
        " + eps); dL2/dbeta = 0; dL2/dg is y' of G13 for x' = u, gamma' = a, beta' = b. The same, by the chain"
        " rule, for a loss that is nonlinear in y. Whoever is asked for one of these alone gives it or an"
        " error, never another number; what a layer refuses for a loss that is linear in y is not asked for"
        " one that is not. Third order is not asked for.",
        why="The Hessian of <g, y> is symmetric, so that dL2/dx and dL2/dgamma are the derivatives of dx and"
        " d_gamma along (u, a): xh' = r s, r' = -r^2 q, d_gamma' = r sum(u w). A backward that can be"
        " differentiated once only must say so: a silent zero is a wrong number, and so is what treats kept"
        " statistics as constants.",
        source="from G1 and G2; pytorch/pytorch#2264, pytorch/pytorch#186256",
        bound='chapter "second order"; or an exception',
        status="active",
        needs=("gradients", "second_order"),
        dtypes=WIDE,
        informative=COSTLY,
    ),
    Clause(
        id="G11",
        title="gradient by the weights before the layer",
        statement="For z = W x normalised over the batch and c > 0: inner(W_j, dL/dW_j) = gamma d_gamma delta for row"
        " j; and, for the same g, dL/dW at (c W, c^2 eps) is 1/c of that at (W, eps).",
        why="inner(W_j, dL/dW_j) = sum dz z = sum dz (mu + xh/r) = gamma d_gamma delta by G3. By F3 the loss at (c W,"
        " c^2 eps) is that at (W, eps): differentiate by W. For c < 0 the sign of xh turns, and the loss with it.",
        source="Ioffe & Szegedy 2015, section 3.3; the first notes of this project: allows for suboptimal"
        " initialisations",
        bound='sum |z| e_dz; and sum |x| e_dz at W plus c times that at c W; chapter "relations"',
        status="active",
        needs=("gradients", "batch_statistics", "visible_eps"),
        diagnostic=True,
        informative=RARE,
    ),
    Clause(
        id="G12",
        title="agrees with differences of its own forward",
        statement="In float64, for L = sum g y of a training pass and an exact step p per channel: L(x + p) - L(x - p)"
        " = 2 sum dx p; and L at gamma + 1 (at beta + 1) less L is d_gamma (d_beta).",
        why="A central difference is twice the derivative along p up to max |L'''|/3, L''' the third one along p, and L"
        " is linear in gamma and beta. No formula of the specification enters what is compared: it is the layer's own"
        " forward.",
        source="Taylor's theorem; mlpack/mlpack#1327",
        bound="4 |gamma| |g - mean g| sqrt(K) (c/V)^1.5 + sum |g| (e_y ahead + e_y behind) + 2 sum |p| e_dx;"
        ' chapter "relations"',
        status="active",
        needs=BACKWARD,
        diagnostic=True,
        dtypes=("float64",),
        informative=RARE,
    ),
    Clause(
        id="G13",
        title="forward mode agrees with the Jacobian",
        statement="For tangents x', gamma', beta': y' = gamma' xh + beta' + gamma r (x' - mean(x') - xh sum(xh x')/K)"
        " in training, gamma' (x - rm) t + beta' + gamma t x' in evaluation, t = 1/sqrt(rv + eps); or an"
        " error, or a y without any tangent, never another number. Forward over forward is not asked for.",
        why="The Jacobian of G4 applied from the other side: it is symmetric in i and j; gamma and beta enter"
        " linearly. A layer may be right in all that backwards ask of it and fold its parameters where none needs a"
        " gradient, which forward mode does not tell it: hence SHOULD.",
        source="from G4; pytorch/pytorch#196699",
        bound="e_dx of G1 with x' for g, plus e_y with gamma' and beta' for gamma and beta; or an exception",
        status="active",
        level="SHOULD",
        needs=("forward_mode",),
        dtypes=WIDE,
        informative=FROM_STANDARD,
    ),
    Clause(
        id="G14",
        title="an evaluation waits for its backward",
        statement="An evaluation forward, then a training forward, then the backward of the first: the gradient of the"
        " state that the evaluation read, or an error, never another number.",
        why="As G8: the training forward writes rm and rv, of which the first backward needs the former values.",
        source="first principles; measured with torch 2.13.0 (CPU): its kernel writes the buffers unseen by autograd,"
        " and the backward reads them as they are then; hence SHOULD",
        bound='e_dx, e_dgamma, e_dbeta of chapter "evaluation"; or an exception',
        status="active",
        level="SHOULD",
        needs=("gradients", "reentrance", "evaluation", "running_statistics"),
        informative=RARE,
    ),
)
