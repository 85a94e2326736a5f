"""Right for most sizes, wrong for some: data, no code.

Each is a few lines in the module that its target names.
"""

from __future__ import annotations

from bnspec.mutants.record import Mutant

# A row a layer: what is wrong, where it comes from, where it is and who must refuse it.
# fmt: off
SIZES: tuple[Mutant, ...] = (
    # two values, remainders
    Mutant("bessel-of-three", "the factor m/(m-1) of two values is that of three",
           "kernel habit: a divisor kept away from small numbers",
           "torch module", "bnspec.mutants.torch_sizes:BesselOfThree", ("R2", "N5")),
    Mutant("pair-unbiased", "the variance of two values is (a - b)^2/2",
           "slip of algebra: the unbiased one, for a short cut",
           "torch module", "bnspec.mutants.torch_sizes:PairUnbiased", ("F1", "N5")),
    Mutant("halving-tree", "sums add half to half, and lose what is left over of an odd number",
           "kernel habit: a tree for powers of two",
           "torch module", "bnspec.mutants.torch_sizes:HalvingTree", ("F1", "N5")),
    Mutant("tail-copied", "of more than 1024 values, those after the last whole block are not normalised",
           "kernel habit: a grid of whole blocks",
           "torch module", "bnspec.mutants.torch_sizes:TailCopied", ("N5",)),
    Mutant("tail-uncoupled",
           "of more than 128 values, dx of those after the last whole block has one of its three terms",
           "kernel habit: a short loop of its own for the remainder",
           "torch module", "bnspec.mutants.torch_sizes:TailUncoupled", ("G1", "N5")),
    # long batches
    Mutant("count-in-half", "m is rounded to float16",
           "kernel habit: a count in the format of the data",
           "torch module", "bnspec.mutants.torch_sizes:CountInHalf", ("N5",)),
    Mutant("second-level-of-one-block", "of more than 32768 values, only the first are summed",
           "kernel habit: a second level of one block",
           "torch module", "bnspec.mutants.torch_sizes:SecondLevelOfOneBlock", ("N5",)),
    Mutant("grid-in-the-backward", "d_gamma and d_beta sum no more than 32768 values",
           "kernel habit: a grid without a loop over it",
           "torch module", "bnspec.mutants.torch_sizes:GridInTheBackward", ("N5",)),
    Mutant("variances-averaged", "of more than 4096 values, the variance is the mean of those of blocks",
           "slip of algebra: the spread of the means is left out",
           "torch module", "bnspec.mutants.torch_sizes:VariancesAveraged", ("N5",)),
    Mutant("long-batch-sampled", "from 16384 values on, the statistics are those of every second",
           "kernel habit: an estimate that is good enough",
           "torch module", "bnspec.mutants.torch_sizes:LongBatchSampled", ("N5",)),
    # many channels
    Mutant("channel-tail-not-stored", "of more than 32 channels, those after the last whole block are not stored",
           "kernel habit: a warp a block of channels",
           "torch module", "bnspec.mutants.torch_sizes:ChannelTailNotStored", ("R2", "N5")),
    Mutant("gamma-of-the-first-thousand", "beyond 1024 channels, channel c has the gamma of channel c mod 1024",
           "kernel habit: parameters in shared memory",
           "torch module", "bnspec.mutants.torch_sizes:GammaOfTheFirstThousand", ("N5",)),
    Mutant("last-dbeta-lost", "of an odd number of more than 16 channels, the last d_beta is 0",
           "kernel habit: two channels a thread",
           "torch module", "bnspec.mutants.torch_sizes:LastDbetaLost", ("G1", "N5")),
    # arrays
    Mutant("numpy-count-in-sixteen-bits", "m wraps at 65536",
           "kernel habit: a small integer for a small number",
           "numpy", "bnspec.mutants.numpy_habits:CountInSixteenBits", ("N5",)),
)
# fmt: on
