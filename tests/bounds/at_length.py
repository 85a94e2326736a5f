"""Right layers against the rounding bounds at length: a quarter of an hour, and no ratio of error to bound above 1.

    OMP_NUM_THREADS=1 python -m tests.bounds.at_length --channels 1000000 --seed 0 --workers 1 --write docs/bounds.md

runs from the root of the repository, prints the chapter "measured" of `docs/bounds.md` or writes it there, and exits
with 1 where a ratio exceeds 1.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

import torch

from tests.bounds.channels import try_channels
from tests.bounds.climbing import CLIMBERS, climb
from tests.bounds.layers import serving
from tests.bounds.page import Measured, render_chapter, replace_chapter
from tests.bounds.relations import TARGETS, try_relations
from tests.bounds.tally import Tally

SHARES = {
    "float32": 0.6, "float64": 0.1, "mixed_float16": 0.1, "mixed_bfloat16": 0.1, "float16": 0.05, "bfloat16": 0.05,
}  # fmt: skip
"""Of the channel inputs, to each precision; float64 is judged in binary128, which takes long."""
BATCH = 300
TOGETHER = 50
"""Batches that are one job."""

Job = Callable[[Tally], None]


@dataclass(frozen=True)
class Extent:
    """How much is run: channel inputs, generations and populations of each climber, seeds of each relation."""

    channels: int
    seed: int
    generations: int
    populations: int
    seeds: int
    longest: int = 2000


def drive(precision: str, seed: int, turns: range, longest: int, tally: Tally) -> None:
    """Some batches in a row."""
    for turn in turns:
        try_channels(precision, seed, turn, BATCH, tally, longest=longest)


def plan_channels(extent: Extent) -> Iterator[Job]:
    for precision, share in SHARES.items():
        batches = -(-round(extent.channels * share) // BATCH)
        for first in range(0, batches, TOGETHER):
            turns = range(first, min(first + TOGETHER, batches))
            yield partial(drive, precision, extent.seed, turns, extent.longest)


def plan_climbing(extent: Extent) -> Iterator[Job]:
    for precision in SHARES:
        for name in CLIMBERS:
            if name in serving(precision):
                for population in range(extent.populations):
                    yield partial(climb, precision, name, 1000 * extent.seed + population, extent.generations)


def plan_relations(extent: Extent) -> Iterator[Job]:
    for target in TARGETS:
        for seed in range(extent.seeds):
            yield partial(try_relations, target, 1000 * extent.seed + seed)


def work(job: Job) -> Tally:
    """One job by itself, in whatever process."""
    torch.set_num_threads(1)
    tally = Tally()
    job(tally)
    return tally


def gather(jobs: Iterable[Job], workers: int, tell: Callable[[str], None]) -> Tally:
    """All jobs, one after the other or in so many processes."""
    total, jobs, began = Tally(), list(jobs), time.perf_counter()
    pool = ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) if workers > 1 else None
    for done, tally in enumerate(pool.map(work, jobs) if pool else map(work, jobs), start=1):
        total.join(tally)
        if tally.beyond or done % 25 == 0 or done == len(jobs):
            tell(f"{done} of {len(jobs)} jobs, {time.perf_counter() - began:.0f} s, {len(total.beyond)} beyond")
    if pool:
        pool.shutdown()
    return total


def run(extent: Extent, workers: int, command: str, tell: Callable[[str], None] = lambda _: None) -> Measured:
    """The three parts."""
    channels = gather(plan_channels(extent), workers, tell)
    climbing = gather(plan_climbing(extent), workers, tell)
    return Measured(channels, climbing, gather(plan_relations(extent), workers, tell), command)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)  # noqa: T201  # the terminal is its trade


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bounds.at_length", description=__doc__.splitlines()[0])
    parser.add_argument("--channels", type=int, default=1_000_000, help="channel inputs in all (%(default)s)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=1, help="processes (%(default)s)")
    parser.add_argument("--generations", type=int, default=150, help="of each climbing population (%(default)s)")
    parser.add_argument("--populations", type=int, default=2, help="of each layer and precision (%(default)s)")
    parser.add_argument("--seeds", type=int, default=4, help="of each relation and layer (%(default)s)")
    parser.add_argument("--write", type=Path, help="the page whose chapter is replaced")
    given = parser.parse_args(arguments)
    extent = Extent(given.channels, given.seed, given.generations, given.populations, given.seeds)
    command = " ".join(["OMP_NUM_THREADS=1 python -m tests.bounds.at_length", *arguments])
    measured = run(extent, given.workers, command, _tell)
    chapter = render_chapter(measured, date.today())
    if given.write:
        replace_chapter(given.write, chapter)
    else:
        print(chapter)  # noqa: T201  # the terminal is its trade
    for case in measured.beyond[:100]:
        _tell(case)
    return int(bool(measured.beyond))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
