"""Wrong after several acts alone, each of which is right by itself: data, no code."""

from __future__ import annotations

from bnspec.mutants.record import Mutant

# fmt: off
HISTORIES: tuple[Mutant, ...] = (
    Mutant("copy-forgets-tuning", "a copy has eps and momentum as its original was made with, not as they were set",
           "kernel habit: a copy made of the constructor's arguments",
           "torch module", "bnspec.mutants.torch_histories:CopyForgetsTuning", ("S5",), ranks=(2, 3)),
    Mutant("averages-from-choice", "momentum set to None averages the batches from then on, with the weight 1 first",
           "kernel habit: a count of its own for the plain average",
           "torch module", "bnspec.mutants.torch_histories:AveragesFromChoice", ("S5",), ranks=(4,)),
    Mutant("older-save-resets", "restoring a save without a counter resets the running statistics",
           "pytorch/pytorch#14588: saves from before version 2 have no counter; here taken for those of a new layer",
           "torch module", "bnspec.mutants.torch_histories:OlderSaveResets", ("S5",), ranks=(2, 3)),
    Mutant("pickled-forgets-eps", "a layer that was pickled comes back with the default eps",
           "kernel habit: constants that __setstate__ does not know",
           "torch module", "bnspec.mutants.torch_histories:PickledForgetsEps", ("S5",)),
    Mutant("copy-of-copy-shares", "a copy of a copy shares its running mean; copies of originals do not",
           "kernel habit: copy-on-write with one level",
           "torch module", "bnspec.mutants.torch_histories:CopyOfCopyShares", ("S5",)),
    Mutant("reset-as-constructed", "a reset after a conversion brings back buffers of the first dtype",
           "kernel habit: initial buffers kept for later",
           "torch module", "bnspec.mutants.torch_histories:ResetAsConstructed", ("S5",)),
    Mutant("copy-ends-waiting", "a pass that waits for its backward while the layer is copied gets a wrong dx",
           "kernel habit: a workspace that a copy takes along",
           "torch module", "bnspec.mutants.torch_histories:CopyEndsWaiting", ("S5",)),
    Mutant("refusal-skips-next", "the update after a refused batch is lost",
           "kernel habit: a flag that the error path leaves set",
           "torch module", "bnspec.mutants.torch_histories:RefusalSkipsNext", ("S5",)),
    Mutant("frozen-gamma-kept", "while gamma is frozen, training goes on with the one that it was frozen with",
           "kernel habit: constants folded while they need no gradient",
           "torch module", "bnspec.mutants.torch_histories:FrozenGammaKept", ("S5",)),
)
