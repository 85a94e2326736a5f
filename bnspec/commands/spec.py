"""`bnspec spec`: the specification, or one clause of it."""

from __future__ import annotations

import argparse
import textwrap
from typing import Any

from bnspec.spec.clauses import CLAUSES, FAMILIES, LEVELS, NOTATION, SPEC_VERSION, find_clause


def add_command(commands: Any) -> None:
    """Name the command and its options."""
    spec = commands.add_parser("spec", help="print the specification, or one clause of it")
    spec.add_argument("clause", nargs="?", metavar="CLAUSE", help="an id, such as F3")
    spec.set_defaults(run=print_spec)


def print_spec(options: argparse.Namespace) -> int:
    """All clauses in a line each, or what one clause says. Raises UnknownClause."""
    if options.clause:
        _print_clause(options.clause)
        return 0
    print(f"The specification of batch norm, version {SPEC_VERSION}\n\n{NOTATION}\n")
    for level, meaning in LEVELS.items():
        print(f"{level} {meaning}.")
    for family, title in FAMILIES.items():
        print(f"\n{family}. {title}")
        for clause in CLAUSES.values():
            if clause.family == family:
                status = "" if clause.status == "active" else f" ({clause.status})"
                print(f"  {clause.id:4} {clause.level:6} {clause.title}{status}")
    return 0


def _print_clause(name: str) -> None:
    clause = find_clause(name)
    diagnostic = ", diagnostic" if clause.diagnostic else ""
    print(f"{clause.id}  {clause.title}\n")
    rows = {
        "statement": clause.statement,
        "why": clause.why,
        "bound": clause.bound,
        "source": clause.source,
        "level": f"{clause.level}: {LEVELS[clause.level]}{diagnostic}",
        "status": clause.status + (": not yet checked" if clause.status == "planned" else ""),
        "needs": ", ".join(clause.needs) or "nothing beyond a training forward",
        "dtypes": " and ".join(clause.dtypes) or "all that the target promises",
        "informative": "at least {} cases at smoke, {} at standard, {} at thorough, per dtype and device".format(
            *clause.informative
        ),
    }
    for key, text in rows.items():
        print(textwrap.fill(text, 110, initial_indent=f"  {key:12}", subsequent_indent=" " * 14))
