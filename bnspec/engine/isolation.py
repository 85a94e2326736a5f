"""Judging in a child process: a subject that ends it, or never returns, has a finding, and the rest goes on."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TypeVar

from bnspec.cases.case import parse_address
from bnspec.engine.blocks import Block, BlockResult, Tally, run_block
from bnspec.engine.child import DONE, Child, Ending, Send, can_fork, run_once
from bnspec.engine.judging import Finding, experiments, waives
from bnspec.engine.plan import Plan, UsageError
from bnspec.engine.subject import Recipe, Subject

T = TypeVar("T")
LIMIT_S, START_S, LEAST_S = 60.0, 90.0, 1.0
"""How long a case may take, a fresh process until its first one, and a case of a subject that often took too long."""


@dataclass
class Isolated:
    """A runner of blocks by one child, started anew at the next block after it came to its end.

    The limit of a case is halved each time that it is met: the verdict is out, and a subject that hangs should not take
    an hour.
    """

    limit_s: float = LIMIT_S
    _case_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._case_s = self.limit_s

    def __call__(self, subject: Subject, plan: Plan, blocks: list[Block]) -> Iterator[BlockResult]:
        """The results in the order of the blocks. Raises UsageError where no process can come to the subject."""
        while blocks:
            for result, timed_out in _run_until_end(subject, plan, blocks, self._case_s):
                yield result
                blocks = blocks[1:]
                self._case_s = max(LEAST_S, self._case_s / 2) if timed_out else self._case_s

    def attempt(self, work: Callable[[], T], otherwise: T) -> T:
        """What a function gives that calls the subject, or `otherwise` where that ends its process."""
        answer = run_once(work, self.limit_s) if can_fork() else otherwise
        return otherwise if isinstance(answer, Ending) else answer


def find_ending(work: Callable[[], object], limit_s: float = LIMIT_S) -> Ending | None:
    """How the process ends in which a function is tried out, None where it goes on; what it raises is no end."""

    def try_out() -> None:
        with suppress(Exception):
            work()

    answer = run_once(try_out, limit_s) if can_fork() else None
    return answer if isinstance(answer, Ending) else None


def _run_until_end(
    subject: Subject, plan: Plan, due: list[Block], limit_s: float
) -> Iterator[tuple[BlockResult, bool]]:
    """The results of one child, each with whether the child did not return."""
    fork = can_fork() and subject.implementation.forks and subject.implementation.framework.devices() == ["cpu"]
    if not fork and subject.recipe is None:
        raise UsageError(
            "a fresh process cannot load this object to isolate it: name it as file.py:Name or module:Name"
        )
    work: Callable[[Send], None] = partial(_run_forked, subject, plan, due)
    if not fork and subject.recipe is not None:
        work = partial(_run_afresh, subject.recipe, plan, due)
    child, begun, patience = Child(work, fork=fork), "", limit_s + (0.0 if fork else START_S)
    left = iter(due)
    try:
        while (answer := child.receive(patience)) != DONE:
            patience = limit_s
            if isinstance(answer, str):
                begun = answer
            elif isinstance(answer, Ending):
                yield _blame(subject, next(left), begun, answer, plan), answer.timed_out
                return
            else:
                next(left)
                yield answer, False
    finally:
        child.stop()


def _run_forked(subject: Subject, plan: Plan, due: list[Block], send: Send) -> None:
    subject.implementation.framework.enter_child()
    _run_blocks(subject, plan, due, send)


def _run_blocks(subject: Subject, plan: Plan, due: list[Block], send: Send) -> None:
    for block in due:
        send(run_block(subject, block, plan.seed, plan.clauses, plan.ending, send))


def _run_afresh(recipe: Recipe, plan: Plan, due: list[Block], send: Send) -> None:
    _run_blocks(recipe.make(), plan, due, send)


def _blame(subject: Subject, block: Block, case: str, ending: Ending, plan: Plan) -> BlockResult:
    """Every clause that the case would have fed has a finding, unless that is waived."""
    result = BlockResult(block)
    for clause in experiments()[block.experiment].judges:
        if clause in plan.clauses:
            if case and waives(subject, clause, parse_address(case), block.device):
                result.tallies[clause] = Tally(1, waived=1)
                continue
            got = f"a subject that {ending.words}"
            finding = Finding(
                clause, block.device, case, math.inf, "the case", got, "an answer", "", True, ending.timed_out
            )
            result.tallies[clause] = Tally(1, 1, math.inf, case, 1, finding)
    return result
