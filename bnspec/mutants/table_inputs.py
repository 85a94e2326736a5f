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
)
# fmt: on
