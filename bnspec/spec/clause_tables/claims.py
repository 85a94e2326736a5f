"""Family C: what is claimed of batch norm in a network, as the first notes of this project put it."""

from __future__ import annotations

from bnspec.spec.clause import THOROUGH_ONLY, Clause

NOTES = "the first notes of this project"

CLAIMS: tuple[Clause, ...] = (
    Clause(
        id="C1",
        title="the distribution between layers stays",
        statement="In a deep tanh network, for gains of the weights from 0.1 to 10: the normalised pre-activations of"
        " every layer have mean beta and variance gamma^2 (K/m)(1 - delta); without the layers the width follows the"
        " gain.",
        why="F2 holds whatever comes in, and the gain moves delta alone. Without the layers widths multiply with"
        " depth.",
        source=f"{NOTES}; Ioffe & Szegedy 2015, section 1",
        bound="as F2, layer by layer; without the layers a wide margin",
        level="SHOULD",
        status="active",
        informative=THOROUGH_ONLY,
    ),
    Clause(
        id="C2",
        title="mean and deviation are differentiable",
        statement="G1, G10 and G12 hold together, on a layer inside a network.",
        why="mu and v are polynomials in x and the root is smooth for eps > 0.",
        source=NOTES,
        bound="those of G1, G10 and G12",
        level="SHOULD",
        needs=("gradients",),
        status="active",
        informative=THOROUGH_ONLY,
    ),
    Clause(
        id="C3",
        title="the network can move the distribution",
        statement="Gradient descent on gamma and beta reaches any target mean and width of y; from the start d_beta and"
        " d_gamma point the way.",
        why="y = gamma xh + beta with mean beta and width |gamma| sqrt((K/m)(1 - delta)): a squared distance of both"
        " to the target has no other minimum up to the sign of gamma.",
        source=NOTES,
        bound="the target within a wide margin, after a fixed number of steps",
        level="SHOULD",
        needs=("gradients", "affine"),
        status="active",
        informative=THOROUGH_ONLY,
    ),
    Clause(
        id="C4",
        title="examples are coupled",
        statement="dy_i/dx_j for i != j differs from 0 in training and is 0 in evaluation; what follows the layer is"
        " then a function of all examples.",
        why="G4: -gamma r (1/m + xh_i xh_j/K), which vanishes only where xh_i xh_j = -K/m.",
        source=NOTES,
        bound="off the diagonal: above e_dx in training, 0 in evaluation",
        level="SHOULD",
        needs=("gradients",),
        status="active",
        informative=THOROUGH_ONLY,
    ),
    Clause(
        id="C5",
        title="outputs jitter with the batch",
        statement="A fixed example in random batches of m >= 512 independent values, eps far below s2: m"
        " Var(y)/gamma^2 tends to 1 + xh skew + xh^2 (kurtosis - 1)/4, with kurtosis 3 for a gaussian; slope -1 in log"
        " m. In evaluation there is none.",
        why="To first order dxh = -dmu/s - xh ds2/(2 s2) with s = sqrt(s2); m Var(mu) = s2, m Cov(mu, s2) = s^3 skew,"
        " m Var(s2) = s2^2 (kurtosis - 1). Square and collect.",
        source=f"{NOTES}; delta method",
        bound="sampling error of the variance, and terms of order 1/m",
        level="SHOULD",
        status="active",
        informative=THOROUGH_ONLY,
    ),
    Clause(
        id="C6",
        title="training is steadier",
        statement="On a small network and a small set of digits: the loss falls at gains and learning rates where it"
        " does not without the layer, and the gradient changes less along the step.",
        why="F3 takes the gain out of the forward, G11 turns it into a smaller step, G5 bounds the slope.",
        source=f"{NOTES}; Santurkar et al. 2018, section 3; scikit-learn, the digits data",
        bound="fixed seeds and wide margins",
        level="SHOULD",
        needs=("gradients",),
        status="active",
        informative=THOROUGH_ONLY,
    ),
)
