"""What a certificate's reader sees while it is made, and how much of it afterwards."""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from bnspec.certificate.merge import describe_ratio
from bnspec.certificate.model import Certificate, ClauseReport, TargetReport
from bnspec.certificate.terminal import LABELS, render, render_verdict, tell_stale

if TYPE_CHECKING:
    from bnspec.engine.blocks import Block

BAR = 24
"""Signs of the bar."""
PAUSE_S = 0.1
"""The bar is drawn no more often."""
COLOURS = {"pass": 32, "measured": 32, "CONFORMS": 32, "FAIL": 31, "FAILS": 31, "DOES NOT CONFORM": 31}
COLOURS |= {"too few": 33, "NOT RUN": 33, "WAIVED": 33, "INCOMPLETE": 33, "STALE": 31}
"""Green, red and yellow, by their numbers at a terminal."""
PAINTED = re.compile(
    r"^(  [A-Z]\d+ +(?:MUST|SHOULD|GRADE) +)(pass|measured|FAIL|too few|NOT RUN|WAIVED)\b"
    r"|^(  (?:MUST|SHOULD) [A-Z]\d+ )(FAILS)\b"
    r"|^()(  NOT RUN|  STALE)\b"
    r"|^(\S+ )(CONFORMS|DOES NOT CONFORM|INCOMPLETE)\b",
    re.MULTILINE,
)


def paint(text: str) -> str:
    """A report with its outcomes in colour."""

    def colour(found: re.Match[str]) -> str:
        before, word = (each for each in found.groups() if each is not None)
        return f"{before}\x1b[{COLOURS[word.strip()]}m{word}\x1b[0m"

    return PAINTED.sub(colour, text)


def is_terminal(stream: TextIO) -> bool:
    """Is a person reading, at a terminal that can move its cursor?"""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


class Show:
    """Prints reports, in full or not, and a bar on standard error where that is a terminal."""

    def __init__(self, quiet: bool, verbose: bool, color: bool) -> None:
        self.quiet, self.verbose = quiet, verbose
        self.color = color and is_terminal(sys.stdout) and not os.environ.get("NO_COLOR")

    def report(self, report: TargetReport, *, last: bool) -> None:
        """Print what is asked for of a report."""
        text = (
            "\n".join([*tell_stale(report), render_verdict(report)]) if self.quiet else render(Certificate((report,)))
        )
        if self.verbose:
            text = "\n".join([*render_cells(report), "", text])
        end = "\n" if last or self.quiet else "\n\n"
        print(paint(text) if self.color else text, end=end, flush=True)

    @contextmanager
    def watching(self, target: str) -> Iterator[Bar]:
        """A bar for one target, gone at the end."""
        bar = Bar(target, sys.stderr if is_terminal(sys.stderr) and not self.quiet else None)
        try:
            yield bar
        finally:
            bar.clear()


class Bar:
    """How far a run is: blocks that are done, what comes next, and the time left, by what blocks took so far."""

    def __init__(self, target: str, stream: TextIO | None) -> None:
        self.target, self.stream = target, stream
        self.drawn = self.last = time.monotonic()
        self.took: dict[str, list[float]] = defaultdict(list)

    def __call__(self, blocks: Sequence[Block], done: int) -> None:
        """A block is done."""
        now = time.monotonic()
        self.took[blocks[done - 1].experiment].append(now - self.last)
        self.last = now
        if self.stream is None or (now - self.drawn < PAUSE_S and done < len(blocks)):
            return
        self.drawn = now
        full = BAR * done // len(blocks)
        word = "explaining" if done == len(blocks) else f"{blocks[done].experiment} {blocks[done].dtype}"
        left = f"{self.estimate(blocks[done:]):.0f} s left"
        bar = f"[{'=' * full}{' ' * (BAR - full)}]"
        line = f"{bar}  {done} of {len(blocks)} blocks, {left}  {word}  {self.target}"
        self.stream.write(f"\r\x1b[K{_cut(line)}")
        self.stream.flush()

    def estimate(self, blocks: Sequence[Block]) -> float:
        """Seconds for the blocks that are left: of an experiment not yet met, as long as blocks took on average."""
        everything = [seconds for each in self.took.values() for seconds in each]
        usual = sum(everything) / max(len(everything), 1)
        means = {name: sum(each) / len(each) for name, each in self.took.items()}
        return sum(means.get(block.experiment, usual) for block in blocks)

    def clear(self) -> None:
        """Take the bar away."""
        if self.stream is not None:
            self.stream.write("\r\x1b[K")
            self.stream.flush()


def _cut(line: str) -> str:
    width = shutil.get_terminal_size().columns
    return line if len(line) < width else f"{line[: width - 4]}..."


def render_cells(report: TargetReport) -> Iterator[str]:
    """A line for each dtype and device that a clause was judged in, with the case that came nearest to its bound."""
    for clause in report.clauses:
        yield from _render_cells(clause)


def _render_cells(clause: ClauseReport) -> Iterator[str]:
    for cell in clause.cells:
        where = f"{cell.dtype} on {cell.device}"
        ran = f"{cell.executed} cases, {cell.informative} informative"
        near = f", worst {describe_ratio(cell.worst_ratio)} at {cell.case}" if cell.worst_ratio is not None else ""
        yield f"  {clause.id:4} {where:24} {LABELS[cell.outcome]:8}  {ran}{near}"
