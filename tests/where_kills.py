"""Where examples pay: which block refuses which wrong layer of the museum, and what a second of it is worth.

    python -m tests.where_kills -n 2 > kills.jsonl
    python -m tests.where_kills --page kills.jsonl > docs/where-examples-pay.md

run from the root of the repository. Each line of the first is a block of a layer: its address, the processor time that
it took, and the clauses that it refuses the layer by, with whether a case chosen by hand is enough.
"""

from __future__ import annotations

import argparse
import functools
import json
import multiprocessing
import os
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

from bnspec.api import make_subject
from bnspec.certificate.merge import Rule
from bnspec.engine.blocks import literal_cases
from bnspec.engine.collecting import collecting_rarely
from bnspec.engine.plan import Request, make_plan
from bnspec.engine.run import list_due, run_here
from bnspec.engine.threads import prefer_one_thread
from bnspec.layers.target import load_target
from bnspec.mutants.record import Mutant
from bnspec.mutants.table import MUTANTS
from bnspec.selftest import breaks_shoulds_alone
from bnspec.spec.clauses import CLAUSES


@dataclass(frozen=True)
class Kill:
    """A block of a wrong layer, in seconds of processor time. `refusing` maps a clause to whether a case chosen by hand
    is refused."""

    layer: str
    experiment: str
    dtype: str
    index: int
    seconds: float
    refusing: dict[str, bool]


def try_blocks(mutant: Mutant, seed: int) -> list[Kill]:
    """Every block of the profile that the layer takes, whatever those before it found."""
    strict = breaks_shoulds_alone(mutant)
    request = Request(mutant.dialect, mutant.profile, seed, strict=strict)
    subject, _ = make_subject(load_target(mutant.target).obj, request, {}, mutant.target)
    plan, kills = make_plan(subject, request), []
    for block in list_due(subject, plan):
        by_hand = {case.address() for case in literal_cases(subject, block)}
        began = sum(os.times()[:4])  # of this process and of its children, in which bad input is tried
        results = list(run_here(subject, plan, [block]))
        seconds = sum(os.times()[:4]) - began
        refusing = {
            clause: tally.finding.case in by_hand
            for result in results
            for clause, tally in result.tallies.items()
            if tally.finding and Rule(strict).decides(clause)
        }
        kills.append(Kill(mutant.id, block.experiment, block.dtype, block.index, round(seconds, 4), refusing))
    return kills


@dataclass(frozen=True)
class Row:
    """The blocks of an experiment in a dtype: `new` are the layers that no block before it in the order refuses."""

    experiment: str
    dtype: str
    seconds: float
    refuses: int
    alone: int
    new: int


def order_by_worth(kills: Sequence[Kill]) -> Iterator[Row]:
    """Next comes the block that refuses most of the layers that are left a second of its mean time."""
    seconds, refused = defaultdict(list), defaultdict(set)
    for kill in kills:
        seconds[kill.experiment, kill.dtype].append(kill.seconds)
        if kill.refusing:
            refused[kill.experiment, kill.dtype].add(kill.layer)
    mean = {block: sum(taken) / len(taken) for block, taken in seconds.items()}
    blocks = Counter(layer for layers in refused.values() for layer in layers)
    left, waiting = set(blocks), set(mean)
    while waiting:
        best = max(waiting, key=lambda b: (len(refused[b] & left) / mean[b], len(refused[b]) / mean[b], b))
        alone = sum(blocks[layer] == 1 for layer in refused[best])
        yield Row(*best, mean[best], len(refused[best]), alone, len(refused[best] & left))
        left -= refused[best]
        waiting.remove(best)


def render(kills: Sequence[Kill]) -> Iterator[str]:
    """The page of docs."""
    layers = {kill.layer: [k for k in kills if k.layer == kill.layer] for kill in kills}
    rows = list(order_by_worth(kills))
    by_hand = sum(any(any(kill.refusing.values()) for kill in own) for own in layers.values())
    first = sum(row.new * sum(r.seconds for r in rows[: i + 1]) for i, row in enumerate(rows)) / len(layers)
    yield "# Where examples pay\n"
    yield "Written by `python -m tests.where_kills`, and not by hand.\n"
    mean = sum(kill.seconds for kill in kills) / len(layers)
    yield (
        f"Of {len(layers)} wrong layers {by_hand} are refused by a case chosen by hand, whatever the seed. All blocks"
        f" of a layer take {mean:.1f} s of processor time in the mean; in the order of the first table, stopping at the"
        f" first failure, {first:.2f} s. `IN_HASTE` in `conformance/table.py` follows it.\n"
    )
    yield "## Blocks\n"
    yield "The order is greedy: next comes what refuses most of the layers that are left a second.\n"
    yield "| experiment | dtype | mean time | refuses | no other block does | new |\n|---|---|---|---|---|---|"
    for row in rows:
        time_taken = f"{1000 * row.seconds:.0f} ms"
        yield f"| {row.experiment} | {row.dtype} | {time_taken} | {row.refuses} | {row.alone} | {row.new} |"
    yield "\n## Clauses\n"
    yield "How many layers each refuses in any block, and how many a case chosen by hand is enough for.\n"
    yield "| clause | | refuses | by hand |\n|---|---|---|---|"
    refused, enough = Counter[str](), Counter[str]()
    for own in layers.values():
        refused.update({clause for kill in own for clause in kill.refusing})
        enough.update({clause for kill in own for clause, hand in kill.refusing.items() if hand})
    for clause, count in sorted(refused.items(), key=lambda pair: (-pair[1], pair[0])):
        yield f"| {clause} | {CLAUSES[clause].title} | {count} | {enough[clause]} |"


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-n", type=int, default=1, metavar="WORKERS")
    parser.add_argument(
        "--page", nargs="+", type=Path, default=[], metavar="FILE", help="print the page of these lines"
    )
    options = parser.parse_args()
    if options.page:
        lines = chain.from_iterable(path.read_text(encoding="utf-8").splitlines() for path in options.page)
        print("\n".join(render([Kill(**json.loads(line)) for line in lines])))  # noqa: T201  # the terminal is its trade
        return
    prefer_one_thread()
    context = multiprocessing.get_context("spawn")
    with collecting_rarely(), ProcessPoolExecutor(options.n, context) as pool:
        for kills in pool.map(functools.partial(try_blocks, seed=options.seed), MUTANTS):
            for kill in kills:
                print(json.dumps(asdict(kill)), flush=True)  # noqa: T201  # as above


if __name__ == "__main__":
    main()
