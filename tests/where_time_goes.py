"""The share of each part in the time of a certification, by looking at the stack every two milliseconds.

    OMP_NUM_THREADS=1 python -m tests.where_time_goes torch.nn:BatchNorm1d --profile standard

runs from the root of the repository and prints the table of `docs/timing.md`. A look counts for the part of the
innermost frame that belongs to one, so what NumPy and torch do counts for whoever asked for it.
"""

from __future__ import annotations

import argparse
import signal
from collections import Counter
from dataclasses import dataclass
from types import FrameType

import bnspec

INTERVAL = 0.002  # seconds of processor time between two looks


@dataclass(frozen=True)
class Part:
    """A part of the house, and how the path of a file tells that it belongs to it."""

    name: str
    paths: tuple[str, ...]


PARTS = (
    Part(
        "layers: construction, forward, backward, state",
        ("bnspec/layers/", "conformance/acting.py", "bnspec/engine/subject.py"),
    ),
    Part(
        "Hypothesis: drawing the cases",
        (
            "site-packages/hypothesis/",
            "bnspec/cases/strategies.py",
            "bnspec/cases/drawing.py",
            "bnspec/cases/histories.py",
        ),
    ),
    Part("making batches and states", ("bnspec/cases/",)),
    Part("bounds", ("bnspec/spec/bounds.py",)),
    Part("exact values (float64 and binary128)", ("bnspec/spec/", "conformance/expected.py")),
    Part("comparing", ("conformance/compare.py",)),
    Part("experiments: what is asked of the layer", ("conformance/experiment", "conformance/tables/")),
    Part("judges", ("conformance/judge",)),
    Part("blocks, records, counts", ("bnspec/", "conformance/")),
)
REST = "imports, child processes, the rest"


def place(frame: FrameType | None) -> str:
    """The part that the innermost frame of any belongs to."""
    while frame is not None:
        path = frame.f_code.co_filename
        for part in PARTS:
            if any(piece in path for piece in part.paths):
                return part.name
        frame = frame.f_back
    return REST


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("target")
    parser.add_argument("--profile", default="standard")
    arguments = parser.parse_args()
    looks: Counter[str] = Counter()
    signal.signal(signal.SIGPROF, lambda _number, frame: looks.update([place(frame)]))
    signal.setitimer(signal.ITIMER_PROF, INTERVAL, INTERVAL)
    certificate = bnspec.certify(arguments.target, profile=arguments.profile)
    signal.setitimer(signal.ITIMER_PROF, 0)
    lines = [f"| {name} | {100 * count / looks.total():.0f} % |" for name, count in looks.most_common()]
    head = f"{certificate.verdict}, {looks.total()} looks\n\n| part | share |\n|---|---|"
    print("\n".join([head, *lines]))  # noqa: T201  # the terminal is its trade


if __name__ == "__main__":
    main()
