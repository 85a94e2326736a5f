"""`bnspec verify`: does a certificate say what its own numbers say, and do some of them come out again?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

SAMPLE = 24


def add_command(commands: Any) -> None:
    """Name the command and its options."""
    verify = commands.add_parser(
        "verify",
        help="check a certificate against itself, and run a sample of its cases again",
        epilog="exit codes: 0 it holds, 1 it does not, 2 wrong usage",
    )
    verify.add_argument("certificate", metavar="CERT", help="a certificate that `certify --json` wrote")
    verify.add_argument("--sample", type=int, default=SAMPLE, metavar="N", help=f"so many cases (default {SAMPLE})")
    verify.add_argument("--seed", type=int, default=0, help="another seed draws other cases (default 0)")
    verify.set_defaults(run=verify_certificate)


def verify_certificate(options: argparse.Namespace) -> int:
    """Print what does not hold, and how much was run. Raises UsageError, TargetError for what cannot be run here."""
    from bnspec.certificate.json_face import read_certificate
    from bnspec.engine.plan import UsageError
    from bnspec.engine.threads import prefer_one_thread
    from bnspec.verifying import check_consistency, run_sample

    if options.sample < 0:
        raise UsageError(f"--sample {options.sample}: give a number of cases, from 0 on")
    certificate = read_certificate(Path(options.certificate))
    prefer_one_thread()
    doubts = ran = 0
    for report in certificate.targets:
        sample = run_sample(report, options.sample, options.seed)
        for words in (*check_consistency(report), *sample.doubts):
            print(f"{report.target}: {words}")
            doubts += 1
        for words in sample.notes:
            print(f"{report.target}: {words}", file=sys.stderr)
        ran += sample.ran
    print(f"{'does not hold' if doubts else 'holds'}: {ran} cases run again, {doubts} doubts")
    return int(doubts > 0)
