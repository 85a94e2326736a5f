"""Right for contiguous batches of ordinary shape and size: data, no code.

Each is a few lines in the module that its target names.
"""

from __future__ import annotations

from bnspec.mutants.record import Mutant

# A row a layer: what is wrong, where it comes from, where it is and who must refuse it.
# fmt: off
LAYOUTS: tuple[Mutant, ...] = (
    # strides of x
    Mutant("memory-order-in-evaluation", "an evaluation reads dense x in the order of its memory, whatever its strides",
           "pytorch/pytorch#63224",
           "torch module", "bnspec.mutants.torch_layouts:MemoryOrderInEvaluation", ("L1",)),
    Mutant("offset-ignored", "x is read from the start of its memory, whatever its offset",
           "kernel habit: a pointer to the storage",
           "torch module", "bnspec.mutants.torch_layouts:OffsetIgnored", ("L1",)),
    Mutant("counted-in-memory", "m in the stored variance is counted in the memory that x lies in",
           "kernel habit: a count of bytes over one of channels",
           "torch module", "bnspec.mutants.torch_layouts:CountedInMemory", ("L1",)),
    Mutant("dx-in-memory-order", "dx of dense x is written in the order of its axes and labelled with the strides of x",
           "kernel habit: a flat loop over an output that is like x",
           "torch module", "bnspec.mutants.torch_layouts:DxInMemoryOrder", ("L1",)),
    Mutant("one-channel-of-stride-one", "a channel axis of length 1 and stride 1 is taken for channels last",
           "kernel habit: a layout guessed from one stride",
           "torch module", "bnspec.mutants.torch_layouts:OneChannelOfStrideOne", ("L7",), ranks=(4, 5)),
    Mutant("contiguous-returned", "y is contiguous, whatever x is",
           "kernel habit: one format inside, and none restored",
           "torch module", "bnspec.mutants.torch_layouts:ContiguousReturned", ("L6",), ranks=(4, 5)),
    # channels last
    Mutant("channels-last-mislabelled",
           "of x stored channels last, the backward reads the bytes as channels first; d_beta is right",
           "pytorch/pytorch#175189",
           "torch module", "bnspec.mutants.torch_layouts:ChannelsLastMislabelled", ("L2",), ranks=(4, 5)),
    Mutant("channels-last-count", "of x stored channels last, the stored variance swaps channels and positions in m",
           "sony/nnabla-ext-cuda#457",
           "torch module", "bnspec.mutants.torch_layouts:ChannelsLastCount", ("L2",), ranks=(4, 5)),
    Mutant("channels-last-volume", "of volumes stored channels last, the statistics are those of the first slice",
           "kernel habit: a kernel for images lent to volumes",
           "torch module", "bnspec.mutants.torch_layouts:ChannelsLastVolume", ("L2",), ranks=(5,)),
    # strides of the other arguments
    Mutant("buffer-copy-updated", "a strided buffer is copied, and the copy updated",
           "pytorch/pytorch#33867",
           "torch module", "bnspec.mutants.torch_layouts:BufferCopyUpdated", ("L5",)),
    Mutant("dense-gamma", "gamma is read as if its stride were 1",
           "kernel habit: a flat pointer for a strided vector",
           "torch module", "bnspec.mutants.torch_layouts:DenseGamma", ("L5",)),
    Mutant("upstream-offset-ignored", "the upstream gradient is read from the start of its memory",
           "kernel habit: a pointer to the storage",
           "torch module", "bnspec.mutants.torch_layouts:UpstreamOffsetIgnored", ("L5",)),
    Mutant("expanded-upstream-is-constant", "an upstream gradient with a stride of 0 is taken for a constant",
           "kernel habit: a short cut for the gradient of a sum",
           "torch module", "bnspec.mutants.torch_layouts:ExpandedUpstreamIsConstant", ("L5",)),
    # coincidences of the shape, and ranks
    Mutant("columns-of-one-channel", "of one channel, each position is normalised over the batch alone",
           "kernel habit: axes of length 1 squeezed",
           "torch module", "bnspec.mutants.torch_layouts:ColumnsOfOneChannel", ("L3",), ranks=(3, 4, 5)),
    Mutant("gamma-along-positions", "where D1 = C, gamma and beta go along D1",
           "kernel habit: an axis found by its length",
           "torch module", "bnspec.mutants.torch_layouts:GammaAlongPositions", ("L3",), ranks=(3, 4, 5)),
    Mutant("batch-of-one-refused", "a training batch with N = 1 is refused, positions or not",
           "kernel habit: the guard for one value looks at N alone",
           "torch module", "bnspec.mutants.torch_layouts:BatchOfOneRefused", ("L3",), ranks=(3, 4, 5)),
    Mutant("axes-of-rank-three", "training normalises over the first and the last axis, whatever the rank",
           "kernel habit: axes written down for sequences",
           "torch module", "bnspec.mutants.torch_layouts:AxesOfRankThree", ("F6", "L4"), ranks=(2, 4, 5)),
    Mutant("rows-unbiased", "at rank 2 the unbiased variance normalises",
           "kernel habit: a path of its own for rank 2",
           "torch module", "bnspec.mutants.torch_layouts:RowsUnbiased", ("F1", "F6", "L4"), ranks=(2,)),
    Mutant("volumes-by-images", "of volumes, each slice along D1 is normalised alone, and updates alone",
           "kernel habit: a kernel for images in a loop",
           "torch module", "bnspec.mutants.torch_layouts:VolumesByImages", ("F1", "F6", "L4"), ranks=(5,)),
    # arrays
    Mutant("numpy-ravelled-in-evaluation", "an evaluation reads x in the order of its memory",
           "pytorch/pytorch#63224",
           "numpy", "bnspec.mutants.numpy_habits:RavelledInEvaluation", ("L1",)),
    Mutant("numpy-cleaned-in-place", "NaN and infinities are replaced in x itself, which must be writeable",
           "teaching habit: data cleaned on arrival",
           "numpy", "bnspec.mutants.numpy_habits:CleanedInPlace", ("L1", "N6")),
    Mutant("numpy-strided-buffers-copied", "strided buffers are copied, and the copies updated",
           "pytorch/pytorch#33867",
           "numpy", "bnspec.mutants.numpy_habits:StridedBuffersCopied", ("L5",)),
)
# fmt: on
