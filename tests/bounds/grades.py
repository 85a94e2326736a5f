"""Is each implementation whose algorithm is known graded as what it is?

    python -m tests.bounds.grades --seeds 50 > docs/grades.md

runs from the root of the repository: layers of torch.nn as they are and compiled, and the right ones of the museum, at
every rank, layout and precision that they take. It ends with 1 where a grade is wrong.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from bnspec.conformance.acting import Stage
from bnspec.conformance.table import EXPERIMENTS

from bnspec.api import make_subject
from bnspec.cases.case import Case
from bnspec.engine.plan import Request
from bnspec.engine.subject import Subject
from bnspec.engine.threads import prefer_one_thread
from bnspec.layers.target import load_target
from bnspec.mutants.table import RIGHT_LAYERS
from bnspec.spec.stability import grade

UNITS = {"float32": 2.0**-24, "float64": 2.0**-53}
PLACES = ("running_var", "y", "dx")
TWO_PASSES, ONE_PASS, SQUARES, FOLDED = "AAA", "BBB", "CCC", "ABA"
"""Letters by place. A folded output errs by u kappa with an exact variance."""

OTHERS = {
    ("torch-folded", "float32"): FOLDED,
    ("torch-folded", "float64"): FOLDED,
    ("torch-var-mean", "float64"): ONE_PASS,  # Welford's algorithm in float64, of float32 too
    **{(name, dtype): ONE_PASS for dtype in UNITS
       for name in ("torch-blocks-merged", "numpy-welford", "numpy-chan", "numpy-declared-welford")},
    **{(name, dtype): SQUARES for dtype in UNITS for name in ("torch-textbook", "numpy-textbook")},
}  # fmt: skip
"""What takes no two passes in this precision, inside wider arithmetic or about a value of the data."""

PAGE = """# Grades of known algorithms

Written by `python -m tests.bounds.grades --seeds {seeds}`, and not by hand, with torch {torch} on CPU.

Clause N1 grades the algorithm of the variance by how its error grows: A two passes, B one, C squares
([the laws](bounds.md#grades)). Each implementation below was graded on {seeds} seeds, at every rank and layout that it
takes, in float32 and in float64, by the running variance, y and dx. torch.var_mean is Welford's algorithm in float64
inside, hence A in float32 and B in float64; a folded y errs by u kappa whatever the variance.

| implementation | float32 | float64 | gradings | wrong |
|---|---|---|---|---|
"""


@dataclass(frozen=True)
class Known:
    """An implementation by a name, and whether it is compiled."""

    name: str
    make: Callable[..., Any]
    dialect: str = "torch"
    compiled: bool = False

    def letters(self, dtype: str) -> str:
        """What it must be graded in a precision, by place."""
        return OTHERS.get((self.name, dtype), TWO_PASSES)


def compile_class(kind: type[torch.nn.Module]) -> Callable[..., Any]:
    """What makes layers of a class and compiles each for the shapes that it meets."""

    def make(num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> Any:
        return torch.compile(kind(num_features, eps=eps, momentum=momentum))

    return make


def list_known() -> Iterator[Known]:
    """Every implementation, torch's own first."""
    kinds = (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d, torch.nn.BatchNorm3d)
    for kind in kinds:
        yield Known(f"torch.nn.{kind.__name__}", kind)
    for kind in kinds:
        yield Known(f"torch.nn.{kind.__name__}, compiled", compile_class(kind), compiled=True)
    for layer in RIGHT_LAYERS:
        yield Known(layer.id, load_target(layer.target).obj, layer.dialect)


def list_cases(subject: Subject, dtype: str, seeds: int) -> Iterator[list[Case]]:
    """The sweeps that the subject can take, all seeds of one together."""
    for case in EXPERIMENTS["sweep"].literal:
        if dtype in subject.promises.dtypes and len(case.shape) in subject.promises.ranks:
            yield [replace(case, dtype=dtype, seed=seed) for seed in range(seeds)]


def forget_what_was_compiled() -> None:
    """Else what raised while ranks were looked for, or met many shapes, runs as it is."""
    import torch._dynamo  # takes seconds

    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()


def count_compiled() -> int:
    """The functions that were compiled since."""
    return int(torch._dynamo.utils.counters["frames"]["ok"])


def grade_one(known: Known, dtype: str, seeds: int) -> Counter[bool]:
    """How many gradings are right, and how many wrong. Raises RuntimeError where what is compiled did not run."""
    subject, _ = make_subject(known.make, Request(known.dialect), {}, None)
    found = Counter[bool]()
    for cases in list_cases(subject, dtype, seeds):
        if known.compiled:
            forget_what_was_compiled()
        for case in cases:
            record = EXPERIMENTS["sweep"].act(Stage(subject, case, "cpu"))
            letters = [grade(record.kappa, record.errors[place], UNITS[dtype]).letter for place in PLACES]
            for place, got, wanted in zip(PLACES, letters, known.letters(dtype), strict=True):
                found[got == wanted] += 1
                if got != wanted:
                    sys.stderr.write(f"{known.name} {case.address()}: {place} is graded {got} and not {wanted}\n")
        if known.compiled and not count_compiled():
            raise RuntimeError(f"{known.name}: nothing was compiled")
    return found


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=50)
    options = parser.parse_args()
    prefer_one_thread()
    sys.stdout.write(PAGE.format(seeds=options.seeds, torch=torch.__version__))
    total = Counter[bool]()
    for known in list_known():
        found = sum((grade_one(known, dtype, options.seeds) for dtype in UNITS), Counter[bool]())
        total += found
        letters = " | ".join(" ".join(known.letters(dtype)) for dtype in UNITS)
        sys.stdout.write(f"| {known.name} | {letters} | {found.total()} | {found[False]} |\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n{total[True]} of {total.total()} gradings are right.\n")
    return int(total[False] > 0 or not total)


if __name__ == "__main__":
    sys.exit(main())
