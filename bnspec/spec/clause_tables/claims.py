"""Family C: what is claimed of batch norm in a network, as the first notes of this project put it.

`docs/why-it-works.md` has the claims in the notes' own words, and what they leave out.
"""

from __future__ import annotations

from bnspec.spec.clause import THOROUGH_ONLY, WIDE, Clause

NOTES = "the first notes of this project"

CLAIMS: tuple[Clause, ...] = (
    Clause(
        id="C1",
        title="the distribution between layers stays",
        statement="In a tanh network of six layers, for gains of the weights from 0.1 to 10: the normalised"
        " pre-activations of every layer have mean beta and mean square distance gamma^2 (K/m)(1 - delta) from it;"
        " without the layers the width of the last is 1000 times wider at one end of the gains than at the other.",
        why="F2 holds whatever comes in, and the gain moves delta alone. Without the layers widths multiply with"
        " depth, until tanh saturates. Mean and width stay, the shape of the distribution does not (F10).",
        source=f"{NOTES}; Ioffe & Szegedy 2015, section 1; Santurkar et al. 2018, section 2, for doubts",
        bound="as F2, layer by layer, each for the input that it met",
        level="SHOULD",
        status="active",
        needs=("batch_statistics",),
        dtypes=WIDE,
        informative=THOROUGH_ONLY,
    ),
    Clause(
        id="C2",
        title="mean and deviation are differentiable",
        statement="G1, G10 and G12 hold together: G1 at every layer of the network of C1, for the upstream gradient"
        " that the layers above hand down; G1 and G12 on one batch.",
        why="mu and v are polynomials in x and the root is smooth for v + eps > 0.",
        source=NOTES,
        bound="those of G1 and G12; G10 has judges of its own",
        level="SHOULD",
        status="active",
        needs=("gradients",),
        dtypes=WIDE,
        informative=THOROUGH_ONLY,
        restates=("G1", "G10", "G12"),
    ),
    Clause(
        id="C3",
        title="the network can move the distribution",
        statement="For the loss ((mean(y) - t)^2 + (width(y) - w)^2)/2 of targets t and w > 0, summed over channels,"
        " with width the root of the mean square deviation: at the start d_beta has the sign of mean(y) - t and d_gamma"
        " that of gamma (width(y) - w), and 60 steps of gradient descent on gamma and beta at rate 0.25 arrive.",
        why="mean(y) = beta and width(y) = |gamma| o with o^2 = (K/m)(1 - delta), so that d_beta = beta - t and d_gamma"
        " = sign(gamma) o (|gamma| o - w): each step takes 0.25 and 0.25 o^2 of the way that is left, and gamma keeps"
        " its sign. Two numbers a channel are moved, and no more.",
        source=f"{NOTES}; Ioffe & Szegedy 2015, section 3",
        bound="a hundredth of |t| + w at the end, signs at the start",
        level="SHOULD",
        status="active",
        needs=("batch_statistics", "gradients", "affine"),
        dtypes=WIDE,
        informative=THOROUGH_ONLY,
    ),
    Clause(
        id="C4",
        title="examples are coupled",
        statement="For i != j, dy_i/dx_j has in training the sign of -gamma (1/m + xh_i xh_j/K), and is 0 only where"
        " that is; in evaluation it is 0. What follows the layer in training is then a function of all examples.",
        why="G4: -gamma r (1/m + xh_i xh_j/K), which vanishes only where xh_i xh_j = -K/m.",
        source=NOTES,
        bound="in training signs, wherever the exact value exceeds 2 e_dx; e_dx in evaluation, which is 0 or underflow",
        level="SHOULD",
        status="active",
        needs=("batch_statistics", "gradients"),
        dtypes=WIDE,
        informative=THOROUGH_ONLY,
    ),
    Clause(
        id="C5",
        title="outputs jitter with the batch",
        statement="A fixed example among m - 1 independent values, m >= 512: m Var(y)/gamma^2 tends to 1 + xh skew +"
        " xh^2 (kurtosis - 1)/4 for eps far below s2, kurtosis 3 for a gaussian, and with s = 1 - delta to s + xh skew"
        " s^1.5 + xh^2 s^2 (kurtosis - 1)/4; Var(y) falls like m to the power -1. In evaluation there is none.",
        why="To first order dxh = -r dmu - xh r^2 ds2/2; m Var(mu) = s2, m Cov(mu, s2) = s2^1.5 skew, m Var(s2) ="
        " s2^2 (kurtosis - 1). Square and collect. What is left out is of order 1/m, the example's own part in mu and"
        " s2 included.",
        source=f"{NOTES}; delta method; Teye et al. 2018 reads the same noise as uncertainty",
        bound="2 sqrt(t/k) + 2 t/k of the prediction, for 512 batches, k = 511 and chance once in 1e9 cases (Laurent &"
        " Massart 2000, lemma 1), and 16/m of it; the slope within 6.2 of its deviations; e_y in evaluation",
        level="SHOULD",
        status="active",
        needs=("batch_statistics",),
        dtypes=WIDE,
        informative=THOROUGH_ONLY,
    ),
    Clause(
        id="C6",
        title="training is steadier",
        statement="A tanh network of five layers on handwritten digits, 60 steps of gradient descent at rate 1, weights"
        " of gain 0.1 and 10: with the layer the loss falls below half, where it does not without; at gain 10 the"
        " gradient at the end of a step differs from that at its start by less than 0.7 of its norm, in the median,"
        " where without it differs by more.",
        why="F3 takes the gain out of the forward, and by G11 a larger gain means a smaller gradient. So at a small"
        " gain the steps are longer instead, and there the gradient changes more with the layer than without.",
        source=f"{NOTES}; Santurkar et al. 2018, section 3; van Laarhoven 2017; scikit-learn, the digits data",
        bound="wide margins, judged where the run without layers misses them, for eps up to 0.001 and 16 channels or"
        " more",
        level="SHOULD",
        status="provisional",
        needs=("batch_statistics", "gradients"),
        dtypes=WIDE,
        informative=THOROUGH_ONLY,
    ),
)
