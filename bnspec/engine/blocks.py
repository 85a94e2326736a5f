"""Blocks: the units of work. Block b of an experiment, dtype and device holds the same cases whoever runs it, and when.

This is the one place, with `shrinking`, that owns Hypothesis: it draws the cases and calls nothing but `judge_case`.
"""

from __future__ import annotations

import hashlib
import itertools
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

import hypothesis
from hypothesis import HealthCheck, Phase

from bnspec.cases.acts import keep_possible
from bnspec.cases.case import Case
from bnspec.cases.strategies import draw_cases
from bnspec.engine.judging import Finding, experiments, find, judge_case
from bnspec.engine.subject import Subject
from bnspec.spec.clauses import CLAUSES
from bnspec.spec.measure import Measure, join

HEAVY = {"float64": 1500}
"""Most values of a case of the first block, where they are judged in more than 100 bits."""
HEAVY_ELSEWHERE = 20000
"""The same where float64 judges."""
MOST_CHANNELS = 16
"""Of a layer that is given ready-made no more channels count for that: it has as many in every case."""
LARGEST_WIDENED = 150_000
"""Such a layer of many channels is spared cases that would be larger, which with few channels are long."""


@dataclass(frozen=True)
class Block:
    """The address of a block."""

    experiment: str
    dtype: str
    device: str
    index: int


@dataclass
class Tally:
    """What a block has to say on one clause. `worst` is the largest ratio, None where nothing was compared.

    `refused` counts the cases in which the subject raised in the place of each answer, and was allowed to, `waived`
    those in which it failed and that is waived; `measures` holds the worst measurement of each quantity, of a clause
    that measures.
    """

    executed: int = 0
    informative: int = 0
    worst: float | None = None
    worst_case: str | None = None
    failures: int = 0
    finding: Finding | None = None
    refused: int = 0
    waived: int = 0
    measures: dict[str, Measure] = field(default_factory=dict)


@dataclass(frozen=True)
class BlockResult:
    """What a block has to say on each clause that it feeds."""

    block: Block
    tallies: dict[str, Tally] = field(default_factory=dict)


def seed_of(block: Block, seed: int) -> int:
    """The Hypothesis seed of a block. The device is left out: every device gets the same cases."""
    text = f"{seed}/{block.experiment}/{block.dtype}/{block.index}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])


def literal_cases(subject: Subject, block: Block) -> list[Case]:
    """The cases chosen by hand or enumerated, in the block's dtype and the scope of the subject.

    The first block has them, and block 1 those that would take long there, where the experiment has a block 1.
    """
    if block.index > 1:
        return []
    scope, cases = subject.scope_of(block.index), list[Case]()
    experiment = experiments()[block.experiment]
    if not experiment.cases and not experiment.literals(block.dtype) and not block.index:
        eps, momentum = scope.epsilons[0], scope.momenta[0]
        shapes = [(4, scope.channels or 3, *[2] * (rank - 2)) for rank in scope.ranks]
        return [Case(block.experiment, block.dtype, shape, eps, momentum) for shape in shapes]
    for literal in experiment.literals(block.dtype):
        case = literal if scope.channels is None else _widen(literal, scope.channels)
        case = case if len(scope.ranks) > 1 else _at_rank(case, scope.ranks[0])
        # Float32 is blind to a lost tail of a long batch: there float64 tells, and at once.
        width = case.channels if scope.channels is None else min(case.channels, MOST_CHANNELS)
        size = width * case.count
        waits = experiment.cases > 0 and size > HEAVY.get(block.dtype, HEAVY_ELSEWHERE) and case.fill != "late"
        if block.index != max(int(waits), experiment.first):
            continue
        if len(case.shape) not in scope.ranks or not (case.training or scope.evaluation):
            continue
        if scope.channels and case.channels * case.count > LARGEST_WIDENED:
            continue
        if case.setting not in ("plain", *subject.implementation.framework.settings):
            continue
        eps = subject.promises.pick_eps(case.eps)
        momentum = case.momentum if subject.may_weigh(case.momentum) else scope.momenta[0]
        acts = keep_possible(case.acts, subject.abilities)
        cases.append(replace(case, dtype=block.dtype, eps=eps, momentum=momentum, acts=acts))
    return cases


def _widen(case: Case, channels: int) -> Case:
    """The case with as many channels as a layer has that is given ready-made."""
    return replace(case, shape=(case.shape[0], channels, *case.shape[2:]))


def _at_rank(case: Case, rank: int) -> Case:
    """The case with its N, C and m at the one rank that a layer has, which would meet too few cases else."""
    n, c = case.shape[:2]
    if len(case.shape) == rank:
        return case
    m = case.count // n
    return replace(case, shape=(n * m, c) if rank == 2 else (n, c, *[1] * (rank - 3), m))


def run_block(
    subject: Subject, block: Block, seed: int, clauses: Collection[str], ending: Collection[str] = (),
    begin: Callable[[str], None] = lambda _: None,
) -> BlockResult:  # fmt: skip
    """Judge every case of a block; nothing is shrunk here. Raises only where the suite itself is at fault.

    A failure of one of the clauses `ending` leaves the rest out; `begin` is told the address of each case before it is
    acted out.
    """
    fed = experiments()[block.experiment].judges
    result = BlockResult(block, {c: Tally() for c in fed if c in clauses and CLAUSES[c].speaks_of(block.dtype)})
    seen: set[str] = set()
    ends = result.tallies.keys() & ending

    def execute(case: Case) -> None:
        address = case.address()
        if address in seen or any(result.tallies[clause].failures for clause in ends):
            return
        seen.add(address)
        begin(address)
        for clause, judgement in judge_case(subject, case, block.device, result.tallies).items():
            tally = result.tallies[clause]
            tally.executed += 1
            tally.informative += judgement.informative
            tally.refused += judgement.refused
            tally.waived += judgement.waived
            tally.measures = join(tally.measures, judgement.measures)
            if judgement.ratio is None:
                continue
            if tally.worst is None or judgement.ratio > tally.worst:
                tally.worst, tally.worst_case = judgement.ratio, address
            if judgement.failed:
                tally.failures += 1
                tally.finding = tally.finding or find(clause, case, block.device, judgement)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what a subject warns of is its own affair
        for case in literal_cases(subject, block):
            execute(case)
        draw(subject, block, seed, _leave_simplest(block, execute), (Phase.generate,))
    return result


def _leave_simplest(block: Block, execute: Callable[[Case], None]) -> Callable[[Case], None]:
    """`execute`, less the simplest case of all, which Hypothesis begins every block with, except in one block."""
    experiment = experiments()[block.experiment]
    if not any(experiment.draws(block.dtype, index) for index in range(experiment.first, block.index)):
        return execute
    drawn = itertools.count()
    return lambda case: None if next(drawn) == 0 and case.seed == 0 else execute(case)


def draw(subject: Subject, block: Block, seed: int, execute: Callable[[Case], None], phases: tuple[Phase, ...]) -> None:
    """Call `execute` on each case that Hypothesis draws for a block."""
    experiment = experiments()[block.experiment]
    count = experiment.draws(block.dtype, block.index)
    if not count:
        return
    strategy = draw_cases(
        experiment.name, block.dtype, subject.scope_of(block.index), block.index, longest=experiment.longest
    )

    @hypothesis.seed(seed_of(block, seed))
    @hypothesis.settings(
        max_examples=count,
        phases=phases,
        database=None,
        deadline=None,
        print_blob=False,
        report_multiple_bugs=False,
        suppress_health_check=list(HealthCheck),  # a slow subject is not a fault of the suite
    )
    @hypothesis.given(strategy)
    def run(case: Case) -> None:
        execute(case)

    run()
