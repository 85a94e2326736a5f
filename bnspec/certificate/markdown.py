"""The certificate as Markdown, for the summary of a job: the verdict, each failure in full, then a table to unfold."""

from __future__ import annotations

from collections.abc import Iterator

from bnspec import __version__
from bnspec.certificate.merge import describe_ratio
from bnspec.certificate.model import FAILED, Certificate, ClauseReport, TargetReport
from bnspec.certificate.terminal import JUDGED, LABELS, render_failure, render_verdict, select_told, tell_stale
from bnspec.spec.clauses import CLAUSES


def render_markdown(certificate: Certificate) -> str:
    """One chapter a target."""
    return "\n".join(line for report in certificate.targets for line in _render_target(report))


def _render_target(report: TargetReport) -> Iterator[str]:
    yield f"### `{report.target}` {report.verdict}\n"
    yield f"{_escape(render_verdict(report))}\n"
    if report.scope.get("understood"):
        yield f"Understood as {_escape(str(report.scope['understood']))}.\n"
    told, others = select_told(report)
    for clause in told:
        yield from ("```text", *(line.removeprefix("  ") for line in render_failure(clause, report)), "```\n")
    if others:
        names = ", ".join(f"{c.id} ({CLAUSES[c.id].title})" for c in others)
        yield f"The same on certain batches, hence failing as well: {names}.\n"
    for note in report.notes:
        yield f"In short: {_escape(note)}.\n"
    yield from (f"{_escape(words)}\n" for words in tell_stale(report))
    judged = [clause for clause in report.clauses if clause.outcome in JUDGED]
    ran = sum(clause.executed for clause in judged)
    yield f"<details><summary>{len(judged)} clauses, {ran} judgements: bnspec {__version__},"
    yield f" spec {report.spec_version}, profile {report.profile}, seed {report.seed}</summary>\n"
    yield "| clause | level | outcome | cases | informative | worst, in bounds | |"
    yield "|---|---|---|---:|---:|---:|---|"
    yield from (_render_row(clause) for clause in report.clauses if clause.status != "planned")
    yield "\n</details>\n"


def _render_row(clause: ClauseReport) -> str:
    words = clause.value or (clause.why if clause.outcome not in FAILED else None) or ""
    cells = (clause.id, clause.level, LABELS[clause.outcome], clause.executed, clause.informative)
    return f"| {' | '.join(map(str, cells))} | {describe_ratio(clause.worst_ratio)} | {_escape(words)} |"


def _escape(text: str) -> str:
    """Text that Markdown shows as it is, also in a table."""
    return "".join(f"\\{sign}" if sign in r"\`*_[]<>|" else sign for sign in text)
