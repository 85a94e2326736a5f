"""Right while each backward follows its forward and no output is kept, wrong otherwise: data, no code.

Each is a few lines in the module that its target names.
"""

from __future__ import annotations

from bnspec.mutants.record import Mutant

# A row a layer: what is wrong, where it comes from, where it is and who must refuse it.
# fmt: off
REENTRY: tuple[Mutant, ...] = (
    # a pass looks up what a later one left
    Mutant("last-forward-wins", "every backward reads the xhat that the last forward kept",
           "kernel habit: one cache a layer",
           "torch module", "bnspec.mutants.torch_reentry:LastForwardWins", ("G8",)),
    Mutant("last-statistics-win", "dx is scaled with the deviation of the last forward",
           "kernel habit: one cache a layer for what is small",
           "torch module", "bnspec.mutants.torch_reentry:LastStatisticsWin", ("G8",)),
    Mutant("statistics-of-the-class", "dx is scaled with the deviation of the last forward of any layer of that size",
           "kernel habit: one workspace for all layers",
           "torch module", "bnspec.mutants.torch_reentry:StatisticsOfTheClass", ("G8",)),
    Mutant("mode-of-the-backward", "the mode at the backward chooses its formula",
           "apache/mxnet#9648",
           "torch module", "bnspec.mutants.torch_reentry:ModeOfTheBackward", ("G8",)),
    Mutant("gamma-of-the-backward", "dx has the gamma of the moment of the backward",
           "kernel habit: parameters read again instead of kept",
           "torch module", "bnspec.mutants.torch_reentry:GammaOfTheBackward", ("G8",)),
    Mutant("buffers-of-the-backward", "the backward of an evaluation reads the running variance of its own moment",
           "kernel habit: buffers read again instead of kept",
           "torch module", "bnspec.mutants.torch_reentry:BuffersOfTheBackward", ("G8", "G14")),
    Mutant("evaluation-spoils-training", "after an evaluation, a training pass is differentiated as one",
           "kernel habit: one flag a layer",
           "torch module", "bnspec.mutants.torch_reentry:EvaluationSpoilsTraining", ("G8",)),
    # sums and outputs in memory that is used again
    Mutant("dgamma-not-cleared", "d_gamma of a second backward holds the first: only a forward clears it",
           "kernel habit: an accumulator cleared by the forward",
           "torch module", "bnspec.mutants.torch_reentry:DgammaNotCleared", ("G8",)),
    Mutant("dbeta-in-one-place", "every d_beta is handed out in the same memory",
           "kernel habit: gradients preallocated",
           "torch module", "bnspec.mutants.torch_reentry:DbetaInOnePlace", ("G8",)),
    Mutant("one-output-buffer", "outputs of one shape share their memory",
           "kernel habit: outputs preallocated",
           "torch module", "bnspec.mutants.torch_reentry:OneOutputBuffer", ("E8",)),
    Mutant("two-output-buffers-in-evaluation", "evaluations put their outputs into two places in turn",
           "kernel habit: double buffering",
           "torch module", "bnspec.mutants.torch_reentry:TwoOutputBuffersInEvaluation", ("E8",)),
    Mutant("dx-in-place-of-x", "dx is written over x as well",
           "kernel habit: memory of the input used again",
           "torch module", "bnspec.mutants.torch_reentry:DxInPlaceOfX", ("F7",)),
    # not the same twice
    Mutant("summed-in-random-order", "the order of summation is drawn",
           "kernel habit: atomic additions",
           "torch module", "bnspec.mutants.torch_reentry:SummedInRandomOrder", ("F12",)),
    Mutant("dithered-in-evaluation", "an evaluation adds noise below one unit in the last place",
           "kernel habit: stochastic rounding",
           "torch module", "bnspec.mutants.torch_reentry:DitheredInEvaluation", ("E2",)),
)
# fmt: on
