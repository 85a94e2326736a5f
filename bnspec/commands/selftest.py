"""`bnspec selftest`: the suite itself on trial."""

from __future__ import annotations

import argparse
from typing import Any

from bnspec.commands import EXIT_HELP
from bnspec.commands.certify import check_workers


def add_command(commands: Any) -> None:
    """Name the command and its options."""
    selftest = commands.add_parser(
        "selftest", help="try the suite itself: every wrong layer of the museum, and every right one", epilog=EXIT_HELP
    )
    selftest.add_argument("layers", nargs="*", metavar="ID", help="layers of the museum (default: all)")
    selftest.add_argument("--profile", default="smoke", help="smoke (default), standard or thorough")
    selftest.add_argument("--seed", type=int, default=0, help="another seed draws other cases (default 0)")
    selftest.add_argument("--only", choices=("wrong", "right"), help="try the wrong layers alone, or the right ones")
    selftest.add_argument("--matrix", action="store_true",
                          help="judge wrong layers by every clause, and not to the first failure alone")  # fmt: skip
    selftest.add_argument("-n", type=int, default=1, metavar="WORKERS", help="run in so many processes (default 1)")
    selftest.add_argument("--page", metavar="FILE", help="write the matrix as Markdown")
    selftest.set_defaults(run=try_suite)


def try_suite(options: argparse.Namespace) -> int:
    """Try the layers of the museum that were named. Exit 1 where the suite is wrong on one."""
    from bnspec.certificate.files import check_writable, write_whole
    from bnspec.engine.plan import Request, check_request
    from bnspec.engine.threads import prefer_one_thread
    from bnspec.mutants.page import render_page
    from bnspec.selftest import run_selftest, select_layers

    check_request(Request(profile=options.profile))
    check_workers(options.n)
    layers = select_layers(options.layers, options.only)
    check_writable("--page", options.page)
    prefer_one_thread()

    def tell(line: str) -> None:
        print(line, flush=True)

    hasty = not (options.matrix or options.page)
    trials = run_selftest(layers, options.profile, options.seed, tell, fail_fast=hasty, workers=options.n)
    if options.page:
        write_whole("--page", options.page, render_page(trials, options.profile, options.seed))
    return int(any(trial.is_off for trial in trials))
