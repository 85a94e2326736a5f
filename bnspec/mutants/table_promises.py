"""Right within the bounds of any algorithm, and not what they declare themselves to be: data, no code.

Each is a few lines in the module that its target names.
"""

from __future__ import annotations

from bnspec.mutants.record import Mutant

# fmt: off
PROMISES: tuple[Mutant, ...] = (
    Mutant("squares-declared-two-pass", "E[x^2] - E[x]^2, by a layer that declares two passes",
           "kernel habit: a declaration that outlives the kernel it was made for",
           "numpy", "bnspec.mutants.numpy_promises:SquaresDeclaredTwoPass", ("N1",), profile="standard"),
    Mutant("welford-declared-two-pass", "a running mean, by a layer that declares two passes",
           "kernel habit: one pass is faster, and the declaration stays",
           "numpy", "bnspec.mutants.numpy_promises:WelfordDeclaredTwoPass", ("N1",), profile="standard"),
    Mutant("squares-in-the-backward", "two passes in the forward; the backward takes the variance anew, from squares",
           "kernel habit: a backward that recomputes what it needs",
           "numpy", "bnspec.mutants.numpy_promises:SquaresInTheBackward", ("N1",), profile="standard"),
    Mutant("split-in-turn", "each sum is split otherwise than the last, by a layer that declares runs to repeat",
           "kernel habit: parts handed to whoever is free",
           "numpy", "bnspec.mutants.numpy_promises:SplitInTurn", ("N8",), profile="standard"),
)
# fmt: on
