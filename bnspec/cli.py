"""The command line. Heavy imports wait until a command needs them: help and the specification start at once."""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Sequence
from typing import NoReturn

from bnspec import __version__
from bnspec.commands import EXIT_HELP, certify, compare, identify, replay, selftest, spec, verify, waive
from bnspec.engine.collecting import collecting_rarely
from bnspec.spec.clauses import SPEC_VERSION, UnknownClause

COMMANDS = (certify, identify, replay, waive, compare, verify, selftest, spec)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    options = build_parser().parse_args(arguments)
    try:
        with collecting_rarely():
            code: int = options.run(options)
    except KeyboardInterrupt:
        print("bnspec: interrupted; nothing was certified", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:  # noqa: BLE001  # whatever else escapes is a fault of the suite, and must not look like a verdict
        if _is_usage(error):
            print(f"bnspec: {error}", file=sys.stderr)
            return 2
        traceback.print_exc()
        print(
            "bnspec: this is a fault of bnspec, not of the target; please report it with the lines above",
            file=sys.stderr,
        )
        return 4
    return code


def _is_usage(error: Exception) -> bool:
    try:
        from bnspec.cases.case import AddressError
        from bnspec.engine.plan import UsageError
        from bnspec.layers.target import TargetError
        from bnspec.selftest import UnknownLayer
    except ImportError:  # which then is what went wrong
        return False

    return isinstance(error, TargetError | UsageError | AddressError | UnknownClause | UnknownLayer)


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong, as all other refusals do."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"bnspec: {message}; see `{self.prog} --help`\n")


def build_parser() -> argparse.ArgumentParser:
    """The commands and their options."""
    parser = _Parser(prog="bnspec", description="Is this batch normalization right?", epilog=EXIT_HELP)
    parser.add_argument("--version", action="version", version=f"bnspec {__version__} (spec {SPEC_VERSION})")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add_command(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
