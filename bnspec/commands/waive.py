"""`bnspec waive`: from the failures of a certificate to a file of waivers."""

from __future__ import annotations

import argparse
from datetime import date, timedelta
from pathlib import Path
from typing import Any

DAYS = 180
"""How long a waiver holds where nobody says."""


def add_command(commands: Any) -> None:
    """Name the command and its options."""
    waive = commands.add_parser(
        "waive", help="write waivers for the failures of a certificate", epilog="exit codes: 0 written, 2 wrong usage"
    )
    waive.add_argument("certificate", metavar="CERT", help="a certificate that `certify --json` wrote")
    waive.add_argument("--reason", required=True, help="why the project lives with it, in a sentence")
    waive.add_argument("--link", default="", help="where more is said on it, such as an issue")
    waive.add_argument("--expires", metavar="DATE", help=f"the last day on which it holds (default: in {DAYS} days)")
    waive.add_argument("--clause", nargs="+", default=[], metavar="ID", help="these alone (default: all that fail)")
    waive.add_argument("--to", metavar="FILE", help="add them to a file (default: print them)")
    waive.set_defaults(run=write_waivers)


def write_waivers(options: argparse.Namespace) -> int:
    """Print the waivers, or add them to a file. Raises UsageError."""
    from bnspec.certificate.files import write_whole
    from bnspec.certificate.json_face import read_certificate
    from bnspec.engine.plan import UsageError
    from bnspec.waivers import read_waivers, render_waivers

    today = date.today()
    try:
        expires = date.fromisoformat(options.expires) if options.expires else today + timedelta(days=DAYS)
    except ValueError:
        raise UsageError(f"--expires {options.expires}: is no date; write it as 2027-06-30") from None
    folder = Path(options.to).absolute().parent if options.to else Path.cwd()
    certificate = read_certificate(Path(options.certificate))
    texts = render_waivers(certificate, options.clause, options.reason, options.link, expires, folder)
    text = "\n".join(texts)
    if options.to is None:
        print(text, end="")
        return 0
    before = ""
    if Path(options.to).exists():
        read_waivers(Path(options.to), today)
        before = Path(options.to).read_text(encoding="utf-8").rstrip("\n") + "\n\n"
    write_whole("--to", options.to, before + text)
    print(f"{len(texts)} written to {options.to}; `bnspec certify --waivers {options.to}` heeds them")
    return 0
