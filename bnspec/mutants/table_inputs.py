"""Wrong layers that show under odd layouts and bad input: data, no code.

Each is a few lines in the module that its target names.
"""

from __future__ import annotations

from bnspec.mutants.record import Mutant

# A row a layer: what is wrong, where it comes from, where it is and who must refuse it.
# fmt: off
INPUTS: tuple[Mutant, ...] = (
    # not finite
    Mutant("nan-swallowed", "the statistics read 0 for NaN, and a large number for infinity",
           "kernel habit: fmax and fmin drop a NaN",
           "torch module", "bnspec.mutants.torch_inputs_basics:NanSwallowed", ("N6",)),
    Mutant("one-hot-product", "channels are gathered by a product with zeros and ones, in which NaN reaches all",
           "kernel habit: a reduction as a matrix product",
           "torch module", "bnspec.mutants.torch_inputs_basics:OneHotProduct", ("N6",)),
    # layouts
    Mutant("flat-buffer-update", "the update is written by a flat pointer, past strided buffers",
           "kernel habit: a stride of one for every vector",
           "torch module", "bnspec.mutants.torch_inputs_basics:FlatBufferUpdate", ("L5",)),
    Mutant("row-major-dx", "dx is in row-major order, whatever x is",
           "kernel habit: a gradient allocated by its shape alone",
           "torch module", "bnspec.mutants.torch_inputs_basics:RowMajorDx", ("L6",), ranks=(4, 5)),
    Mutant("stride-of-zero-is-scalar", "a stride of 0 along any axis is taken for one expanded number",
           "kernel habit: a shortcut for constants found by strides",
           "torch module", "bnspec.mutants.torch_inputs_basics:StrideOfZeroIsScalar", ("L7",)),
    Mutant("flat-gamma-in-backward", "dx reads gamma by a flat pointer",
           "kernel habit: a stride of one for every vector",
           "torch module", "bnspec.mutants.torch_inputs_basics:FlatGammaInBackward", ("L8",)),
    # without running statistics
    Mutant("untracked-is-initial", "without running statistics, evaluation takes mean 0 and variance 1",
           "kernel habit: absent buffers replaced by defaults",
           "torch module", "bnspec.mutants.torch_inputs_basics:UntrackedIsInitial", ("E5",)),
    # bad input
    Mutant("one-channel-broadcast", "a batch of one channel is normalised as if all channels were that one",
           "FluxML/Flux.jl#1430",
           "torch module", "bnspec.mutants.torch_inputs_basics:OneChannelBroadcast", ("B1", "B8")),
    Mutant("single-axis-taken", "a single axis is taken for a batch of two equal examples",
           "pytorch/pytorch#105458",
           "torch module", "bnspec.mutants.torch_inputs_basics:SingleAxisTaken", ("B2", "B8")),
    Mutant("integers-truncated", "integers are normalised, and the result is truncated to integers",
           "kernel habit: the output has the type of the input",
           "torch module", "bnspec.mutants.torch_inputs_basics:IntegersTruncated", ("B3",)),
    Mutant("one-value-gives-beta", "one value per channel is normalised to 0",
           "tensorflow/tensorflow#34062",
           "torch module", "bnspec.mutants.torch_inputs_basics:OneValueGivesBeta", ("B4",)),
    Mutant("empty-batch-averaged", "the NaN mean of an empty batch is averaged into the buffers",
           "pytorch/pytorch#12013",
           "torch module", "bnspec.mutants.torch_inputs_basics:EmptyBatchAveraged", ("B5", "B10")),
    Mutant("unbiased-by-examples", "for a batch of one with positions the stored variance divides by N - 1 = 0",
           "facebookresearch/SparseConvNet#190",
           "torch module", "bnspec.mutants.torch_inputs_basics:UnbiasedByExamples", ("B6",), ranks=(3, 4, 5)),
    Mutant("averages-then-checks", "one value per channel is averaged into the running mean, then refused",
           "kernel habit: the check comes after the update",
           "torch module", "bnspec.mutants.torch_inputs_basics:AveragesThenChecks", ("B7",)),
    Mutant("leaves-python", "bad input is refused by SystemExit",
           "teaching habit: sys.exit where an error is meant",
           "torch module", "bnspec.mutants.torch_inputs_basics:LeavesPython", ("B8",)),
    Mutant("counts-then-checks", "a refused batch is counted",
           "kernel habit: the check comes after the count",
           "torch module", "bnspec.mutants.torch_inputs_basics:CountsThenChecks", ("B9",)),
)
# fmt: on
