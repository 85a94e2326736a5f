"""The scripts of a report, one a failure, in a folder of the user's."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from bnspec.api import make_subject
from bnspec.certificate.files import write_whole
from bnspec.certificate.model import FAILED, TargetReport
from bnspec.certificate.terminal import tell_again
from bnspec.engine.guard import Guard
from bnspec.layers.target import load_target
from bnspec.reproduce.script import write_script
from bnspec.settings import Order


def write_scripts(order: Order, report: TargetReport, folder: str, guard: Guard) -> tuple[int, list[str]]:
    """How many were written, and the clauses that fail and of which no script can be written.

    `guard` stands around what calls the subject. Raises UsageError where the folder cannot be written to.
    """
    failures = [clause for clause in report.clauses if clause.outcome in FAILED and clause.case]
    if not failures:
        return 0, []
    subject, _ = make_subject(load_target(order.target).obj, order.request, order.arguments, order.target)
    without, stem = [], re.sub(r"\W+", "-", order.target).strip("-")
    for clause in failures:
        write = partial(write_script, subject, order.target, clause.id, str(clause.case), tell_again(clause, report))
        text = guard(write, None)
        if text is None:
            without.append(clause.id)
        else:
            write_whole("--scripts", str(Path(folder) / f"{stem}-{clause.id}.py"), text)
    return len(failures) - len(without), without
