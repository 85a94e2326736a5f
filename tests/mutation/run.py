"""Change a file in every way there is, one at a time, and tell which changes nobody notices.

    python -m tests.mutation.run -n 2

runs from the root of the repository, for half an hour, and needs Cosmic Ray (`python -m pip install
cosmic-ray==8.7.0`); files that are named are changed alone. It prints the table of `docs/mutation.md`, and ends with 1
where a change survives that `explained.py` does not explain, or where one is explained that does not survive.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass

from tests.mutation.explained import EXPLAINED, Explained
from tests.mutation.mutations import Mutation, list_mutations
from tests.mutation.subjects import SUBJECTS
from tests.mutation.trial import prepare_bench

HEAD = """# Automatic mutation

Written by `python -m tests.mutation.run`, and not by hand.
[Cosmic Ray](https://github.com/sixty-north/cosmic-ray) changes a file in one place at a time; each change is tried in a
copy of the repository, before the judges below in their order. What is the same program without its annotations is left
out. In the references every operator becomes every other one, in the specification its opposite alone; numbers become
one more and one less.
"""


@dataclass(frozen=True)
class Outcome:
    """How many changes each judge was the first to notice, by its words, and those that nobody noticed."""

    file: str
    noticed: Counter[str]
    survivors: tuple[Mutation, ...]

    @property
    def unexplained(self) -> list[Mutation]:
        """Survivors without a line in the table."""
        return [m for m in self.survivors if not any(row.speaks_of(m) for row in EXPLAINED)]

    @property
    def stale(self) -> list[Explained]:
        """Lines of the table that speak of no survivor."""
        rows = [row for row in EXPLAINED if row.file == self.file]
        return [row for row in rows if not any(row.speaks_of(m) for m in self.survivors)]


def try_subject(file: str) -> Outcome:
    """Every change of a file before its judges, the quick one first. Raises RuntimeError where the file is refused."""
    subject = SUBJECTS[file]
    noticed: Counter[str] = Counter({witness.words: 0 for witness in subject.judges})
    survivors = []
    with prepare_bench(subject.file, [witness.passes for witness in subject.judges]) as bench:
        for mutation in list_mutations(subject.file, subject.operators):
            found = bench.find_who_notices(mutation.text)
            if found is None:
                survivors.append(mutation)
                print(f"survives {mutation.file}:{mutation.line}: {mutation.name}", file=sys.stderr, flush=True)  # noqa: T201  # how far it is
            else:
                noticed[subject.judges[found].words] += 1
    return Outcome(file, noticed, tuple(survivors))


def render(outcome: Outcome) -> str:
    """Markdown: the score, who noticed, and why nobody noticed the rest."""
    total = outcome.noticed.total() + len(outcome.survivors)
    lines = [f"## `{outcome.file}`\n", f"{outcome.noticed.total()} of {total} changes are noticed.\n"]
    lines += ["| first noticed by | changes |\n|---|---|"]
    lines += [f"| {words} | {count} |" for words, count in outcome.noticed.items()]
    if outcome.survivors:
        lines += ["\n| survives | why |\n|---|---|"]
    for mutation in outcome.survivors:
        why = next((row.why for row in EXPLAINED if row.speaks_of(mutation)), "NOT EXPLAINED")
        before, after = (line.replace("|", "\\|") for line in (mutation.before, mutation.after))
        lines += [f"| `{before}`<br>`{after}` | {why} |"]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", metavar="FILE", help=f"default: {' '.join(SUBJECTS)}")
    parser.add_argument("-n", type=int, default=1, metavar="WORKERS", help="so many files at a time")
    options = parser.parse_args()
    files = options.files or list(SUBJECTS)
    unknown = [file for file in files if file not in SUBJECTS]
    if unknown:
        parser.error(f"nobody judges changes of {unknown[0]}: there are {', '.join(SUBJECTS)}")
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.n, context, import_what_is_heavy) as pool:
        outcomes = list(pool.map(try_subject, files))
    print("\n".join([HEAD, *(render(outcome) for outcome in outcomes)]))  # noqa: T201  # the terminal is its trade
    for outcome in outcomes:
        for row in outcome.stale:
            print(f"explained, and does not survive: {row.before}", file=sys.stderr)  # noqa: T201  # beside the page
    return int(any(outcome.unexplained or outcome.stale for outcome in outcomes))


def import_what_is_heavy() -> None:
    """What each judge would import first; a fork has it. Nothing of this project is among it."""
    os.environ["OMP_NUM_THREADS"] = "1"
    for name in ("hypothesis", "ml_dtypes", "mpmath", "numpy", "pytest", "sympy", "torch"):
        __import__(name)


if __name__ == "__main__":
    sys.exit(main())
