"""The museum's catalogue: wrong layers, with which the suite itself is tested, and right ones by other roads.

Data and no code; importing it imports neither a framework nor NumPy.
"""

from __future__ import annotations

from bnspec.mutants.record import Form, Mutant, RightLayer
from bnspec.mutants.table_inputs import INPUTS
from bnspec.mutants.table_numpy import NUMPY
from bnspec.mutants.table_torch import TORCH

__all__ = ["MUTANTS", "RIGHT_LAYERS", "Form", "Mutant", "RightLayer"]

MUTANTS: tuple[Mutant, ...] = (*TORCH, *NUMPY, *INPUTS)

# fmt: off
RIGHT_LAYERS: tuple[RightLayer, ...] = (
    RightLayer("torch-composed", "torch operations, left to autograd",
               "torch module", "bnspec.mutants.torch_base:BatchNorm"),
    RightLayer("torch-hand-backward", "the backward written out",
               "torch module", "bnspec.mutants.torch_base:HandBackward"),
    RightLayer("torch-any-rank", "a subclass of torch's own",
               "torch module", "bnspec.mutants.torch_right:AnyRank"),
    RightLayer("torch-folded", "y = alpha x + shift",
               "torch module", "bnspec.mutants.torch_right:Folded"),
    RightLayer("torch-double-inside", "float64, rounded once",
               "torch module", "bnspec.mutants.torch_right:DoubleInside"),
    RightLayer("torch-channels-last", "a matrix of m rows, channel last",
               "torch module", "bnspec.mutants.torch_right:ChannelsLast"),
    RightLayer("torch-increments", "running += a (value - running)",
               "torch module", "bnspec.mutants.torch_right:Increments"),
    RightLayer("torch-textbook", "E[x^2] - E[x]^2, clamped at 0",
               "torch module", "bnspec.mutants.torch_right:Textbook"),
    RightLayer("torch-shifted", "one pass, shifted by the first value",
               "torch module", "bnspec.mutants.torch_right:ShiftedByFirst"),
    RightLayer("torch-wrapped", "a wrapper of torch's function",
               "torch function", "bnspec.mutants.torch_right:wrapped"),
    RightLayer("torch-function-composed", "a layer made for one call",
               "torch function", "bnspec.mutants.torch_right:composed"),
    RightLayer("numpy-two-pass", "two passes over the batch",
               "numpy", "bnspec.mutants.numpy_base:BatchNorm"),
    RightLayer("numpy-welford", "one value at a time",
               "numpy", "bnspec.mutants.numpy_right:Welford"),
    RightLayer("numpy-chan", "unequal chunks, merged",
               "numpy", "bnspec.mutants.numpy_right:ChanMerge"),
    RightLayer("numpy-shifted", "one pass, shifted by the first value",
               "numpy", "bnspec.mutants.numpy_right:ShiftedByFirst"),
    RightLayer("numpy-textbook", "E[x^2] - E[x]^2, clamped at 0",
               "numpy", "bnspec.mutants.numpy_right:Textbook"),
    RightLayer("numpy-sequential", "sums from first to last",
               "numpy", "bnspec.mutants.numpy_right:SequentialSums"),
    RightLayer("numpy-reversed", "sums from last to first",
               "numpy", "bnspec.mutants.numpy_right:ReversedSums"),
    RightLayer("numpy-increments", "running += a (value - running)",
               "numpy", "bnspec.mutants.numpy_right:Increments"),
    RightLayer("numpy-double-inside", "float64, rounded once",
               "numpy", "bnspec.mutants.numpy_right:DoubleInside"),
)
# fmt: on
