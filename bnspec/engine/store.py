"""Blocks shared between processes that judge the same targets: each is run once, by whoever comes first."""

from __future__ import annotations

import hashlib
import os
import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bnspec.engine.blocks import Block, BlockResult
from bnspec.engine.plan import Plan
from bnspec.engine.run import Runner
from bnspec.engine.subject import Subject

PATIENCE_S = 900.0
"""How long another process may hold a block before it is taken for dead."""


@dataclass(frozen=True)
class SharedBlocks:
    """A runner over a folder of this session. `key` tells apart what is judged: target, arguments and request.

    `runner` runs what nobody has begun, a block at a time.
    """

    folder: Path
    key: str
    runner: Runner

    def __call__(self, subject: Subject, plan: Plan, blocks: list[Block]) -> Iterator[BlockResult]:
        """The results in the order of the blocks. What nobody has begun is run here; what others hold is awaited."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for block in blocks:
            if not self._done(block).exists() and self._claim(block):
                self._run(subject, plan, block)
        for block in blocks:
            yield self._await(subject, plan, block)

    def _done(self, block: Block) -> Path:
        text = f"{self.key}/{block}"
        return self.folder / hashlib.sha256(text.encode()).hexdigest()

    def _claim(self, block: Block) -> bool:
        try:
            self._done(block).with_suffix(".claim").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True

    def _run(self, subject: Subject, plan: Plan, block: Block) -> None:
        (result,) = self.runner(subject, plan, [block])
        done = self._done(block)
        half = done.with_suffix(f".{os.getpid()}")
        half.write_bytes(pickle.dumps(result))
        half.replace(done)  # a reader sees a whole result or none

    def _await(self, subject: Subject, plan: Plan, block: Block) -> BlockResult:
        done, began = self._done(block), time.monotonic()
        while not done.exists():
            if time.monotonic() - began > PATIENCE_S:
                self._run(subject, plan, block)
            time.sleep(0.005)
        result: BlockResult = pickle.loads(done.read_bytes())
        return result
