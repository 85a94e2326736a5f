"""The wrong torch layers that one pass does not give away: data, no code.

Each is a few lines in the module that its target names.
"""

from __future__ import annotations

from bnspec.mutants.record import Mutant

# A row a layer: what is wrong, where it comes from, where it is and who must refuse it.
# fmt: off
LIFECYCLE: tuple[Mutant, ...] = (
    Mutant("scratch-shared", "dx is scaled with the 1/sqrt(v + eps) of whichever forward ran last",
           "kernel habit: one workspace a layer, and not one a pass",
           "torch module", "bnspec.mutants.torch_lifecycle_basics:ScratchShared", ("G8",)),
    Mutant("buffers-read-again", "the backward of an evaluation looks the running variance up again",
           "kernel habit: a backward that keeps the layer and not its values",
           "torch module", "bnspec.mutants.torch_lifecycle_basics:BuffersReadAgain", ("G8", "G14")),
    Mutant("batch-recognised", "a batch that comes twice in a row is averaged in once",
           "facebookresearch/fairscale#1035",
           "torch module", "bnspec.mutants.torch_lifecycle_basics:BatchRecognised", ("S6",)),
    Mutant("output-reused", "without gradients, an output of the same shape is written over the one before",
           "kernel habit: an output buffer kept from call to call",
           "torch module", "bnspec.mutants.torch_lifecycle_basics:OutputReused", ("E8",)),
    Mutant("counter-unsaved", "the batch counter is not among what is saved",
           "pytorch/pytorch#110361",
           "torch module", "bnspec.mutants.torch_lifecycle_basics:CounterUnsaved", ("S1",)),
    Mutant("copy-shares", "a deep copy has the buffers and parameters of its original",
           "kernel habit: handles to device memory are copied, not what they point to",
           "torch module", "bnspec.mutants.torch_lifecycle_basics:CopyShares", ("S2",)),
    Mutant("variance-left-behind", "the running variance is an attribute that is neither saved nor converted",
           "pytorch/pytorch#8481",
           "torch module", "bnspec.mutants.torch_lifecycle_basics:VarianceLeftBehind", ("S1", "S3")),
    Mutant("never-thawed", "once it has evaluated, a layer never updates its running statistics again",
           "keras-team/keras#9522",
           "torch module", "bnspec.mutants.torch_lifecycle_basics:NeverThawed", ("S4",)),
    Mutant("reset-keeps-count", "a reset of the running statistics leaves the batch counter",
           "slip of algebra: the plain average goes on where it was",
           "torch module", "bnspec.mutants.torch_lifecycle_basics:ResetKeepsCount", ("R12",)),
)
# fmt: on
