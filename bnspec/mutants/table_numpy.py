"""The wrong NumPy layers: data, no code.

Each is a few lines in the module that its target names.
"""

from __future__ import annotations

from bnspec.mutants.record import Mutant

# A row a layer: what is wrong, where it comes from, where it is and who must refuse it.
# fmt: off
NUMPY: tuple[Mutant, ...] = (
    # forward, running statistics, evaluation and backward
    Mutant("no-square-root", "(v + eps)**-2 for (v + eps)**-0.5",
           "jax-ml/jax#442",
           "numpy", "bnspec.mutants.numpy_layers:NoSquareRoot", ("F1", "F2", "E1")),
    Mutant("normalises-unbiased", "the unbiased variance normalises",
           "teaching habit: a framework's var is unbiased by default",
           "numpy", "bnspec.mutants.numpy_layers:NormalisesUnbiased", ("F1", "F2", "F9")),
    Mutant("rsqrt-without-newton", "1/sqrt is good to 12 bits",
           "kernel habit: a hardware estimate without a Newton step",
           "numpy", "bnspec.mutants.numpy_layers:RsqrtWithoutNewton", ("F1", "E1")),
    Mutant("vector-of-four", "the mean lacks the last m mod 4 values and divides by m",
           "ROCm/rocm-libraries#9030",
           "numpy", "bnspec.mutants.numpy_layers:VectorOfFour", ("F1", "F4", "R2")),
    Mutant("statistics-of-all-channels", "mean and variance are taken over all channels together",
           "ap229997/Conditional-Batch-Norm#5",
           "numpy", "bnspec.mutants.numpy_layers:StatisticsOfAllChannels", ("F1", "F5", "R2")),
    Mutant("centres-in-place", "x is centred in place",
           "kernel habit: the input's memory is reused",
           "numpy", "bnspec.mutants.numpy_layers:CentresInPlace", ("F7",)),
    Mutant("variance-starts-at-zero", "the running variance starts at 0",
           "google-deepmind/dm-haiku#361",
           "numpy", "bnspec.mutants.numpy_layers:VarianceStartsAtZero", ("R1",)),
    Mutant("first-batch-copied", "the first batch replaces the running statistics",
           "slip of algebra: the rule of another dialect",
           "numpy", "bnspec.mutants.numpy_layers:FirstBatchCopied", ("R2",)),
    Mutant("bessel-in-evaluation", "evaluation scales the running variance with its own batch's m/(m-1)",
           "slip of algebra: an unbiasing that training did already",
           "numpy", "bnspec.mutants.numpy_layers:BesselInEvaluation", ("E1", "E3", "E6")),
    Mutant("dx-with-m-minus-one", "the xhat term of dx divides by m - 1",
           "slip of algebra: Bessel's factor carried into the backward",
           "numpy", "bnspec.mutants.numpy_layers:DxWithMMinusOne", ("G1", "G11", "G12")),
    Mutant("dbeta-averaged", "d_beta is the mean of g",
           "slip of algebra: a sum read as a mean",
           "numpy", "bnspec.mutants.numpy_layers:DbetaAveraged", ("G1", "G2", "G12")),
    Mutant("dgamma-of-raw-x-in-evaluation", "evaluation's d_gamma forgets the running mean",
           "slip of algebra: right while the running mean is 0",
           "numpy", "bnspec.mutants.numpy_layers:DgammaOfRawXInEvaluation", ("G2",)),
    Mutant("eval-backward-reads-saved", "evaluation's dx is scaled with what the last training batch left, or 1",
           "torch/nn#768",
           "numpy", "bnspec.mutants.numpy_layers:EvalBackwardReadsSaved", ("G2",)),
    Mutant("upstream-ravelled", "the upstream gradient is read in the order of its memory",
           "kernel habit: a flat pointer for a strided array",
           "numpy", "bnspec.mutants.numpy_layers:UpstreamRavelled", ("G6",)),
)
# fmt: on
