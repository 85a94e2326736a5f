"""One change before its judges, in a copy of the repository: a forked process that imports from there."""

from __future__ import annotations

import compileall
import importlib.util
import math
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

Judge = Callable[[], bool]
"""Whether it finds nothing wrong."""
PATIENCE = 10.0
"""How many times as long as for the true program a judge may take: who does not end is found out too."""
OURS = ("bnspec", "conformance", "reference")


@dataclass(frozen=True)
class Bench:
    """Judges in order, the seconds that each may take, and the copy of the file that changes."""

    root: Path
    file: str
    judges: tuple[tuple[Judge, float], ...] = ()

    def find_who_notices(self, text: str) -> int | None:
        """The place of the first judge that finds anything wrong with the file as `text`.

        Each has a process of its own. What kills the process, raises, or does not end is wrong too.
        """
        (self.root / self.file).write_text(text, encoding="utf-8")
        places = enumerate(self.judges)
        return next((i for i, (judge, seconds) in places if not self.passes(judge, seconds)), None)

    def passes(self, judge: Judge, seconds: float) -> bool:
        """Whether a judge finds nothing wrong with the file as it lies there, within so many seconds."""
        process = multiprocessing.get_context("fork").Process(target=_judge, args=(self.root, judge))
        process.start()
        process.join(None if seconds == math.inf else seconds)
        if process.exitcode is None:
            process.kill()
            process.join()
        return process.exitcode == 0


@contextmanager
def prepare_bench(file: str, judges: Sequence[Judge]) -> Iterator[Bench]:
    """Copy what git tracks or would, try the judges on the true program, and take their time.

    Raises RuntimeError where one refuses it.
    """
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    with tempfile.TemporaryDirectory(prefix="mutation-") as folder:
        root = Path(folder)
        for name in filter(None, names):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, root / name)
        compileall.compile_dir(folder, quiet=1)
        Path(importlib.util.cache_from_source(str(root / file))).unlink()  # else it could pass for the changed file's
        timed = []
        for judge in judges:
            began = time.monotonic()
            if not Bench(root, file).passes(judge, math.inf):
                raise RuntimeError(f"{file}: a judge refuses the true program")
            timed.append((judge, PATIENCE * (time.monotonic() - began)))
        yield Bench(root, file, tuple(timed))


def _judge(root: Path, judge: Judge) -> None:
    """Ends with 0 where the judge finds nothing wrong; says nothing."""
    passed = False
    with suppress(BaseException):  # whatever it is, it is noticed
        imported = [name for name in sys.modules if name.split(".")[0] in OURS]
        assert not imported, f"the true {imported[0]} is imported already"
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 1)
        os.dup2(silence, 2)
        os.chdir(root)
        sys.path.insert(0, str(root))
        sys.dont_write_bytecode = True
        passed = judge()
    os._exit(not passed)
