"""The certificate as a person reads it: the verdict first by its failures, then a line a clause, then one table."""

from __future__ import annotations

import shlex
import shutil
import textwrap
from collections.abc import Iterator

from bnspec import __version__
from bnspec.cases.acts import tell_history
from bnspec.cases.case import parse_address
from bnspec.certificate.merge import describe_ratio, rule_of
from bnspec.certificate.model import FAILED, Certificate, ClauseReport, TargetReport
from bnspec.spec.clauses import CLAUSES

LABELS = {"pass": "pass", "measured": "measured", "vacuous": "too few", "not-run": "NOT RUN", "skip": "skip"}
LABELS |= {"waived": "WAIVED", **dict.fromkeys(FAILED, "FAIL")}
JUDGED = ("pass", "measured", "waived", *FAILED, "vacuous")


def render(certificate: Certificate) -> str:
    """All reports, and for several targets one table at the end."""
    parts = ["\n".join(_render_target(report)) for report in certificate.targets]
    if len(parts) > 1:
        parts.append("\n".join(render_table(certificate)))
    return "\n\n".join(parts)


def _render_target(report: TargetReport) -> Iterator[str]:
    scope = report.scope
    yield (
        f"bnspec {__version__}  spec {report.spec_version}  {report.target}{_render_arguments(report)}"
        f"  profile {report.profile}  seed {report.seed}"
    )
    judged_on = "; ".join([_list(scope, "dtypes"), f"ranks {_list(scope, 'ranks')}", _list(scope, "devices")])
    yield f"  dialect {report.dialect} ({report.dialect_source}); {judged_on}"
    if scope.get("understood"):
        yield from _wrap(f"understood as {scope['understood']}", "  ")
    told, others = select_told(report)
    for clause in told:
        yield ""
        yield from render_failure(clause, report)
    if others:
        names = ", ".join(f"{c.id} ({CLAUSES[c.id].title})" for c in others)
        yield ""
        yield from _wrap(f"The same on certain batches, hence failing as well: {names}.", "  ")
    if told:
        yield ""
    for note in report.notes:
        yield from _wrap(f"In short: {note}.", "  ")
        yield ""
    asked = _list(scope, "clauses").split(", ") if scope["clauses"] else []
    shown = [clause for clause in report.clauses if clause.status != "planned" and (not asked or clause.id in asked)]
    for clause in shown:
        yield from _render_clause(clause)
    if asked:
        yield f"  and {len(report.clauses) - len(shown)} clauses were not asked for"
    else:
        planned = sum(clause.status == "planned" for clause in report.clauses)
        yield f"  and {planned} clauses are planned and not yet checked (`bnspec spec` lists them)"
    absent = _list(scope, "devices_not_there")
    if absent:
        yield f"  NOT RUN on {absent}: there is no such device here"
    for words in tell_stale(report):
        yield ""
        yield from _wrap(words, "  ")
    yield ""
    yield render_verdict(report)


def tell_stale(report: TargetReport) -> list[str]:
    """A sentence for each waiver that fails the run, whatever the verdict."""
    return [f"STALE: {w.place} ({w.clause}, {w.reason}) {w.outcome}: {w.why}" for w in report.stale]


def select_told(report: TargetReport) -> tuple[list[ClauseReport], list[ClauseReport]]:
    """The failures to be told in full, what decides first, and those that restate one of them on certain batches."""
    failures = [clause for clause in report.clauses if clause.outcome in FAILED]
    failed = {clause.id for clause in failures}
    told = [clause for clause in failures if not failed & set(CLAUSES[clause.id].restates)]
    return sorted(told, key=lambda c: _binding(c) != "MUST"), [clause for clause in failures if clause not in told]


def render_verdict(report: TargetReport) -> str:
    """The line that is quoted: verdict, dialect, what was left out, and how much ran."""
    judged = [clause for clause in report.clauses if clause.outcome in JUDGED]
    executed = sum(clause.executed for clause in judged)
    without = f", without {_list(report.scope, 'without')}" if report.scope["without"] else ""
    only = f", in {_list(report.scope, 'clauses')} alone" if report.scope["clauses"] else ""
    waived = [c.id for c in judged if c.outcome == "waived"]
    waiving = f", waiving {' '.join(waived)}" if waived else ""
    rule = rule_of(report)
    failed = [c.id for c in judged if c.outcome in FAILED and rule.decides(c.id)]
    missed = [c.id for c in judged if c.outcome in FAILED and c.id not in failed]
    lacking = [c.id for c in report.clauses if c.status == "active" and c.outcome in ("vacuous", "not-run")]
    reason = ""
    if failed:
        reason = f": {len(failed)} of {len(judged)} clauses fail ({' '.join(failed)})"
    elif report.verdict == "incomplete":
        reason = f": too little was judged of {' '.join(lacking) or 'everything'}"
    if missed:
        reason += f"; misses {' '.join(missed)}, which decide nothing"
    if report.interrupted:
        reason += "; INTERRUPTED, the rest was not judged"
    verb = {"conforms": "CONFORMS to", "does not conform": "DOES NOT CONFORM to", "incomplete": "INCOMPLETE for"}
    return (
        f"{report.target} {verb[report.verdict]} {report.dialect}{without}{only}{waiving}{reason}"
        f" - {len(judged)} clauses, {executed} judgements, {report.duration_s:.1f} s"
    )


def render_failure(clause: ClauseReport, report: TargetReport) -> Iterator[str]:
    """One message a failure: clause, statement, got and wanted, how far off, and how to run it again."""
    row = CLAUSES[clause.id]
    yield f"  {_binding(clause)} {clause.id} FAILS: {row.title}"
    yield from _wrap(row.statement, "      ")
    yield from _wrap(clause.why or "", "    ")
    yield from _wrap(clause.looks or "", "    ")
    if clause.worst_ratio is not None:
        off = describe_ratio(clause.worst_ratio)
        yield f"    off by {off}" + ("" if off == "no bound" else " bounds at worst") + f"; {clause.executed} cases ran"
    if clause.case:
        yield from (f"      {line}" for line in tell_history(parse_address(clause.case.split("/", 1)[1])))
    yield f"    again: {tell_again(clause, report)}"


def tell_again(clause: ClauseReport, report: TargetReport) -> str:
    """The command that runs the case of a failure again."""
    dialect = f" --dialect {report.dialect}" if report.dialect_source == "asked for" else ""
    left_out = "".join(f" --without {ability}" for ability in _list(report.scope, "without").split(", ") if ability)
    subject = f"{shlex.quote(report.target)}{_render_arguments(report)}{dialect}"
    return f"bnspec certify {subject}{left_out} --clause {clause.id} --case '{clause.case}'"


def _binding(clause: ClauseReport) -> str:
    """The level that a failure of the clause counts as."""
    return (CLAUSES[clause.id].fails_as or clause.level) if clause.level == "GRADE" else clause.level


def _render_clause(clause: ClauseReport) -> Iterator[str]:
    """A line a clause; of one that measures, a line for what was measured in one dtype or in several alike."""
    line, cells = f"  {clause.id:4} {clause.level:6} {LABELS[clause.outcome]:8}", clause.cells
    values = list(dict.fromkeys(cell.value for cell in cells if cell.value is not None))
    if not values:
        yield _render_line(clause)
    for value in values:
        where = list(dict.fromkeys(cell.dtype for cell in cells if cell.value == value))
        yield f"{line}  {', '.join(where)}: {value}"
        line = " " * len(line)


def _render_line(clause: ClauseReport) -> str:
    line = f"  {clause.id:4} {clause.level:6} {LABELS[clause.outcome]:8}"
    if clause.executed:
        line += (
            f"{clause.executed:7} cases {clause.informative:7} informative   worst {describe_ratio(clause.worst_ratio)}"
        )
    if clause.why and clause.outcome not in FAILED:
        line += f"  {clause.why}"
    return line


def render_table(certificate: Certificate) -> Iterator[str]:
    """One line a target."""
    width = max(len(report.target) for report in certificate.targets)
    for report in certificate.targets:
        judged = [c for c in report.clauses if c.outcome in JUDGED]
        failed = " ".join(c.id for c in judged if c.outcome in FAILED)
        yield (
            f"  {report.target:{width}}  {report.verdict:16}  {report.dialect:10}  {len(judged):3} clauses"
            f"  {sum(c.executed for c in judged):7} judgements  {report.duration_s:6.1f} s  {failed}"
        ).rstrip()


def _render_arguments(report: TargetReport) -> str:
    return "".join(f" --arg {shlex.quote(f'{key}={value!r}')}" for key, value in report.args.items())


def _list(scope: dict[str, object], key: str) -> str:
    value = scope[key]
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _wrap(text: str, indent: str) -> list[str]:
    width = min(shutil.get_terminal_size().columns, 120)
    return textwrap.wrap(
        text, width, initial_indent=indent, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
    )
