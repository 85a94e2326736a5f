"""The certificate: what was judged, how much of it ran, and what came out. Plain data, faces and exit codes apart."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["pass", "fail", "measured", "skip", "vacuous", "not-run", "crashed", "timed-out", "waived"]
FAILED: tuple[Outcome, ...] = ("fail", "crashed", "timed-out")
Verdict = Literal["conforms", "does not conform", "incomplete"]

EXIT_CODES: dict[Verdict, int] = {"conforms": 0, "does not conform": 1, "incomplete": 3}
WRONG_USAGE, SUITE_FAULT, INTERRUPTED = 2, 4, 130
SCHEMA_VERSION = "1.1"


@dataclass(frozen=True)
class Cell:
    """One clause in one dtype on one device. `worst_ratio` is in units of the bound; `case` is where it was met.

    `value` says what a clause measured, `measures` how much each quantity is worth, more being better: bits below the
    bound, a class, or 1 for what is kept and 0 for what is not.
    """

    dtype: str
    device: str
    outcome: Outcome
    executed: int
    informative: int
    worst_ratio: float | None
    value: str | None
    case: str | None
    measures: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ClauseReport:
    """One clause over all cells. `why` says in words what went wrong, or why nothing was judged; `looks` like what."""

    id: str
    level: str
    status: str
    outcome: Outcome
    executed: int
    informative: int
    worst_ratio: float | None
    value: str | None
    why: str | None
    case: str | None
    looks: str | None = None
    cells: tuple[Cell, ...] = ()


WaiverOutcome = Literal["holds", "not needed", "expired", "not tried"]
STALE: tuple[WaiverOutcome, ...] = ("not needed", "expired")


@dataclass(frozen=True)
class WaiverReport:
    """What came of a waiver: its example fails still, passes by now, or was not replayed; `why` says so in words."""

    place: str
    clause: str
    outcome: WaiverOutcome
    why: str
    reason: str
    link: str
    expires: str
    case: str


@dataclass(frozen=True)
class TargetReport:
    """The verdict on one target, with everything that it rests on."""

    target: str
    args: dict[str, object]
    dialect: str
    dialect_source: str
    scope: dict[str, object]
    profile: str
    seed: int
    spec_version: str
    verdict: Verdict
    environment: dict[str, str]
    duration_s: float
    clauses: tuple[ClauseReport, ...]
    notes: tuple[str, ...] = field(default=())
    waivers: tuple[WaiverReport, ...] = ()
    interrupted: bool = False

    @property
    def stale(self) -> list[WaiverReport]:
        """Waivers that fail the run, whatever the verdict."""
        return [waiver for waiver in self.waivers if waiver.outcome in STALE]

    def clause(self, name: str) -> ClauseReport:
        return next(clause for clause in self.clauses if clause.id == name)


@dataclass(frozen=True)
class Certificate:
    """The reports of one run, one a target."""

    targets: tuple[TargetReport, ...]

    @property
    def verdict(self) -> Verdict:
        """The worst verdict: does not conform, then incomplete, then conforms."""
        verdicts = {report.verdict for report in self.targets}
        order: tuple[Verdict, ...] = ("does not conform", "incomplete", "conforms")
        return next(verdict for verdict in order if verdict in verdicts)

    @property
    def exit_code(self) -> int:
        """That of an interrupt, else that of wrong usage where a waiver is stale, else that of the verdict."""
        if any(report.interrupted for report in self.targets):
            return INTERRUPTED
        return WRONG_USAGE if any(report.stale for report in self.targets) else EXIT_CODES[self.verdict]

    @property
    def conforms(self) -> bool:
        """Do all targets conform, with waivers that are needed and no others?"""
        return self.exit_code == 0

    def to_json(self) -> str:
        from bnspec.certificate.json_face import render_json

        return render_json(self)

    def __str__(self) -> str:
        from bnspec.certificate.terminal import render

        return render(self)
