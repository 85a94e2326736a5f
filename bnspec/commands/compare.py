"""`bnspec compare`: what changed between two certificates."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_command(commands: Any) -> None:
    """Name the command and its options."""
    compare = commands.add_parser(
        "compare",
        help="tell what changed between two certificates",
        epilog="exit codes: 0 no regression, 1 a regression",
    )
    compare.add_argument("old", metavar="OLD", help="a certificate that `certify --json` wrote")
    compare.add_argument("new", metavar="NEW", help="a later one")
    compare.add_argument("--bits", type=float, default=1.0, help="so much lost of what is measured is one (default 1)")
    compare.add_argument("--slower", type=float, metavar="FACTOR", help="taking more than so many times as long is one")
    compare.set_defaults(run=compare_certificates)


def compare_certificates(options: argparse.Namespace) -> int:
    """Print the changes, regressions first. Raises UsageError for what cannot be read."""
    from bnspec.certificate.comparing import compare
    from bnspec.certificate.json_face import read_certificate

    old, new = read_certificate(Path(options.old)), read_certificate(Path(options.new))
    changes = compare(old, new, bits=options.bits, slower=options.slower)
    for change in sorted(changes, key=lambda change: not change.regression):
        print(f"{'REGRESSION' if change.regression else 'changed':10}  {change.target}  {change.words}")
    worse = sum(change.regression for change in changes)
    print(f"{worse} regressions, {len(changes) - worse} other changes, {len(old.targets)} targets compared")
    return int(worse > 0)
