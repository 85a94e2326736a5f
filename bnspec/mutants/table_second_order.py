"""Right in value and in gradient, wrong where a gradient is differentiated or a tangent carried: data, no code.

Each is a few lines in the module that its target names.
"""

from __future__ import annotations

from bnspec.mutants.record import Mutant

# A row a layer: what is wrong, where it comes from, where it is and who must refuse it.
# fmt: off
SECOND_ORDER: tuple[Mutant, ...] = (
    # a backward that is recorded, and not all of it
    Mutant("statistics-kept", "the backward forms xhat from x and kept statistics, constants to its derivative",
           "pytorch/pytorch#186256",
           "torch module", "bnspec.mutants.torch_second_order:StatisticsKept", ("G10",)),
    Mutant("averages-detached", "the sums of a backward are cut from its graph",
           "kernel habit: sums by a kernel that records nothing",
           "torch module", "bnspec.mutants.torch_second_order:AveragesDetached", ("G10",)),
    # a double backward written out
    Mutant("mixed-term-missing", "of the three terms that bend dx the one along xhat is missing",
           "slip of algebra: xhat dgamma differentiated as if dgamma followed xhat alone",
           "torch module", "bnspec.mutants.torch_second_order:MixedTermMissing", ("G10",)),
    Mutant("mixed-term-by-m-minus-one", "one mean of the double backward divides by m - 1",
           "slip of algebra: Bessel's factor carried into the double backward",
           "torch module", "bnspec.mutants.torch_second_order:MixedTermByM1", ("G10",)),
    Mutant("bent-the-other-way", "what 1/sqrt(v + eps) becomes enters with the wrong sign",
           "slip of algebra: d(v + eps)^(-1/2) without its minus",
           "torch module", "bnspec.mutants.torch_second_order:BentTheOtherWay", ("G10",)),
    Mutant("gamma-twice", "gamma scales the derivative of dx twice",
           "slip of algebra: gamma in the upstream gradient and in front of it",
           "torch module", "bnspec.mutants.torch_second_order:GammaTwice", ("G10",)),
    Mutant("nothing-by-gamma", "the derivative of dx by gamma is zero",
           "kernel habit: an output of a double backward left at its initial zero",
           "torch module", "bnspec.mutants.torch_second_order:NothingByGamma", ("G10",)),
    Mutant("dgamma-not-followed", "the derivative by x forgets that d_gamma depends on x",
           "kernel habit: an optional input of a double backward ignored",
           "torch module", "bnspec.mutants.torch_second_order:DgammaNotFollowed", ("G10",)),
    Mutant("evaluation-bent", "evaluation's gradients are differentiated as if the running statistics depended on x",
           "pytorch/pytorch#2264",
           "torch module", "bnspec.mutants.torch_second_order:EvaluationBent", ("G10",)),
    # forward mode written out
    Mutant("tangent-of-mean-missing", "a tangent of x does not move the mean",
           "pytorch/pytorch#196699",
           "torch module", "bnspec.mutants.torch_second_order:TangentOfMeanMissing", ("G13",), profile="standard"),
    Mutant("tangent-of-variance-missing", "a tangent of x does not move the variance",
           "slip of algebra: a scale taken for a constant",
           "torch module", "bnspec.mutants.torch_second_order:TangentOfVarianceMissing", ("G13",), profile="standard"),
    Mutant("tangent-of-gamma-lost", "a tangent of gamma does not come out",
           "kernel habit: only the input is thought to move",
           "torch module", "bnspec.mutants.torch_second_order:TangentOfGammaLost", ("G13",), profile="standard"),
)
# fmt: on
