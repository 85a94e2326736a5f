"""`bnspec replay`: the cases of a certificate's failures again, in this process, as a debugger wants them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any


def add_command(commands: Any) -> None:
    """Name the command and its options."""
    replay = commands.add_parser(
        "replay",
        help="run the cases of a certificate's failures again, in this process",
        epilog="exit codes: 0 nothing fails any more, 1 a case fails still. For a debugger:"
        " python -m pdb -m bnspec.cli replay CERT CLAUSE",
    )
    replay.add_argument("certificate", metavar="CERT", help="a certificate that `certify --json` wrote")
    replay.add_argument("clauses", nargs="*", metavar="CLAUSE", help="the failures of these (default: all that failed)")
    replay.set_defaults(run=replay_failures)


def replay_failures(options: argparse.Namespace) -> int:
    """Print what each clause says to the case that it failed by. Raises UsageError where there is none."""
    from dataclasses import replace

    from bnspec.certificate.json_face import read_certificate
    from bnspec.certificate.model import FAILED
    from bnspec.commands.rerun import rerun
    from bnspec.engine.plan import UsageError
    from bnspec.settings import order_of

    certificate, wanted = read_certificate(Path(options.certificate)), {name.upper() for name in options.clauses}
    failed = 0
    replayed = set()
    for report in certificate.targets:
        order = order_of(report)
        for clause in report.clauses:
            if clause.outcome not in FAILED or clause.case is None or (wanted and clause.id not in wanted):
                continue
            replayed.add(clause.id)
            print(f"{report.target} {clause.id} {clause.case}", flush=True)
            request = replace(order.request, clauses=(clause.id,))
            failed += rerun(replace(order, request=request), clause.case)
    if wanted - replayed:
        raise UsageError(f"{options.certificate} has no failure of {' '.join(sorted(wanted - replayed))}")
    if not replayed:
        print(f"{options.certificate} has no failure", file=sys.stderr)
    return int(failed > 0)
