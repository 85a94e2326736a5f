"""The museum's catalogue: wrong layers, with which the suite itself is tested, and right ones by other roads.

Data and no code; importing it imports neither a framework nor NumPy.
"""

from __future__ import annotations

from bnspec.mutants.record import Form, Mutant, RightLayer
from bnspec.mutants.table_histories import HISTORIES
from bnspec.mutants.table_inputs import INPUTS
from bnspec.mutants.table_layouts import LAYOUTS
from bnspec.mutants.table_lifecycle import LIFECYCLE
from bnspec.mutants.table_numpy import NUMPY
from bnspec.mutants.table_options import OPTIONS
from bnspec.mutants.table_precision import PRECISION
from bnspec.mutants.table_promises import PROMISES
from bnspec.mutants.table_reentry import REENTRY
from bnspec.mutants.table_right import RIGHT_LAYERS
from bnspec.mutants.table_second_order import SECOND_ORDER
from bnspec.mutants.table_sequences import SEQUENCES
from bnspec.mutants.table_sizes import SIZES
from bnspec.mutants.table_surroundings import SURROUNDINGS
from bnspec.mutants.table_torch import TORCH

__all__ = ["MUTANTS", "RIGHT_LAYERS", "Form", "Mutant", "RightLayer"]

MUTANTS: tuple[Mutant, ...] = (
    *TORCH, *NUMPY, *LIFECYCLE, *REENTRY, *LAYOUTS, *SIZES, *PRECISION, *INPUTS, *OPTIONS, *SEQUENCES,
    *SURROUNDINGS, *HISTORIES, *SECOND_ORDER, *PROMISES,
)  # fmt: skip
