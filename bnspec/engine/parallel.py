"""Blocks in several processes, each with its own copy of the target. Order and number of workers change no verdict."""

from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from bnspec.engine.blocks import Block, BlockResult, run_block
from bnspec.engine.plan import Plan, Request
from bnspec.engine.subject import Recipe, Subject


@dataclass(frozen=True)
class Workers:
    """A runner of blocks by `count` fresh processes, which load the target by its text."""

    count: int
    target: str
    arguments: dict[str, Any]
    request: Request

    def __call__(self, subject: Subject, plan: Plan, blocks: list[Block]) -> Iterable[BlockResult]:
        """The results in the order of the blocks."""
        context = multiprocessing.get_context("spawn")  # a fork would share the locks of the framework's thread pools
        with ProcessPoolExecutor(self.count, context, _load, (self.target, self.arguments, self.request)) as pool:
            jobs = [pool.submit(_run, block, plan) for block in blocks]
            try:
                for job in jobs:
                    yield job.result()
            finally:
                pool.shutdown(cancel_futures=True)


_subjects: list[Subject] = []
"""The subject of this worker process."""


def _load(target: str, arguments: dict[str, Any], request: Request) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    _subjects.append(Recipe(target, arguments, request).make())


def _run(block: Block, plan: Plan) -> BlockResult:
    return run_block(_subjects[0], block, plan.seed, plan.clauses, plan.ending)
