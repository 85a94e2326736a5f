"""The changes that nobody notices, and why nobody should."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.mutation.mutations import Mutation


@dataclass(frozen=True)
class Explained:
    """Survivors of a line. `afters` are the changed lines, any where empty."""

    file: str
    before: str
    why: str
    afters: tuple[str, ...] = ()

    def speaks_of(self, mutation: Mutation) -> bool:
        """Whether this explains a survivor."""
        same = (self.file, self.before) == (mutation.file, mutation.before)
        return same and (not self.afters or mutation.after in self.afters)


NUMPY, TORCH = "reference/numpy_batchnorm.py", "reference/torch_batchnorm.py"
EMPTY = "training = self.training and m > 0  # no values, no statistics: an empty batch passes as in evaluation"
ROWS = "return np.ascontiguousarray(np.moveaxis(x, 1, 0).reshape(x.shape[1], -1), dtype)"

EXPLAINED: tuple[Explained, ...] = (
    *(
        Explained(
            file, EMPTY, "the same: m is never negative, and one value a channel was refused before",
            (EMPTY.replace("> 0", "> 1"), EMPTY.replace("> 0", "!= 0")),
        )
        for file in (NUMPY, TORCH)
    ),
    Explained(
        NUMPY, ROWS, "the same: NumPy takes any negative length for the one that is left",
        (ROWS.replace("-1", "- 2"), ROWS.replace("-1", "~1")),
    ),
    Explained(
        TORCH, "m = x.numel() // self.dim", "the same: it divides without rest, and counts as a float too",
        ("m = x.numel() / self.dim",),
    ),
)  # fmt: skip
