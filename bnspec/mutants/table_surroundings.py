"""Wrong on more threads, beside what was there before, or by the size of an earlier batch: data, no code."""

from __future__ import annotations

from bnspec.mutants.record import Mutant

# fmt: off
SURROUNDINGS: tuple[Mutant, ...] = (
    Mutant("thread-chunks-merged", "on several threads the last, shorter share weighs as much as a full one",
           "kernel habit: Chan's merge of equal shares",
           "torch module", "bnspec.mutants.torch_surroundings:ThreadChunksMerged", ("F1", "R2")),
    Mutant("idle-threads-count", "fewer examples than threads: an idle thread counts as a mean of 0",
           "kernel habit: the mean of the threads' means",
           "torch module", "bnspec.mutants.torch_surroundings:IdleThreadsCount", ("R2",)),
    Mutant("added-twice", "d_gamma is doubled where gamma has a gradient already",
           "kernel habit: a backward that accumulates by itself, under autograd",
           "torch module", "bnspec.mutants.torch_surroundings:AddsToGradientsTwice", ("G8",)),
    Mutant("gradient-replaced", "d_beta replaces the gradient that beta has already",
           "kernel habit: a backward that writes to .grad by itself",
           "torch module", "bnspec.mutants.torch_surroundings:ReplacesTheGradient", ("G8",)),
    Mutant("statistics-of-the-object", "an input object with new values is normalised with its old statistics",
           "kernel habit: statistics cached by tensor, while CUDA graphs refill one input",
           "torch module", "bnspec.mutants.torch_surroundings:StatisticsOfTheObject", ("F1",)),
    Mutant("axes-of-first-call", "a batch of a higher rank than the first is summed over the axes of the first",
           "kernel habit: a plan made at the first call",
           "torch module", "bnspec.mutants.torch_surroundings:AxesOfFirstCall", ("F1", "R3")),
    Mutant("workspace-of-training", "an evaluation twice as large as any training batch repeats its first row",
           "kernel habit: a workspace that only training enlarges",
           "torch module", "bnspec.mutants.torch_surroundings:EvaluatesInTheWorkspaceOfTraining", ("E1",)),
    Mutant("scaled-only-with-beta", "bias=False: dx lacks gamma",
           "kernel habit: one flag for both parameters",
           "torch module", "bnspec.mutants.torch_surroundings:ScaledOnlyWithBeta", ("G1", "G2")),
    Mutant("total-in-sixteen-bits", "momentum=None: after 32767 values a channel each batch replaces the average",
           "kernel habit: a short integer for the total",
           "torch module", "bnspec.mutants.torch_surroundings:TotalInSixteenBits", ("R4",)),
    Mutant("no-shift-without-weight", "weight=None: an evaluation does not subtract the mean",
           "kernel habit: the mean is folded into the scale",
           "torch function", "bnspec.mutants.torch_functions:no_shift_without_weight", ("E1",)),
)
