"""`bnspec certify`: targets against the specification."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from bnspec.commands import EXIT_HELP
from bnspec.commands.asking import add_options, read_orders

if TYPE_CHECKING:
    from bnspec.certificate.model import Certificate, TargetReport
    from bnspec.commands.show import Show
    from bnspec.settings import Order

FILES = {
    "json": "write the certificate as JSON",
    "markdown": "write it as Markdown, for the summary of a job",
    "junit": "write it as JUnit XML",
    "badge": "write the verdict as a badge: .json for shields.io, or .svg",
}


def add_command(commands: Any) -> None:
    """Name the command and its options."""
    certify = commands.add_parser("certify", help="certify targets against the specification", epilog=EXIT_HELP)
    add_options(certify)
    certify.add_argument("--case", metavar="ADDRESS", help="run one case again, by the address that a failure prints")
    for name, words in FILES.items():
        certify.add_argument(f"--{name}", metavar="FILE", help=words)
    certify.add_argument(
        "--scripts", metavar="FOLDER", help="write a script for each failure, that shows it without bnspec"
    )
    certify.add_argument("-n", type=int, default=1, metavar="WORKERS", help="run in so many processes (default 1)")
    certify.add_argument("-q", "--quiet", action="store_true", help="print the verdict alone")
    certify.add_argument("-v", "--verbose", action="store_true", help="print each clause by dtype and device")
    certify.add_argument("--no-color", dest="color", action="store_false", help="as the variable NO_COLOR does")
    certify.set_defaults(run=certify_targets)


def certify_targets(options: argparse.Namespace) -> int:
    """Certify each target, print the certificates, and write what was asked for."""
    from bnspec.certificate.badge import check_badge
    from bnspec.certificate.files import check_folder, check_writable
    from bnspec.certificate.model import Certificate
    from bnspec.certificate.terminal import render_table
    from bnspec.commands.show import Show
    from bnspec.engine.plan import UsageError
    from bnspec.engine.threads import prefer_one_thread
    from bnspec.layers.target import TargetError

    orders = read_orders(options)
    check_workers(options.n)
    if options.n > 1 and any(order.isolate for order in orders):
        raise UsageError("--isolate judges in one child process: leave -n out")
    check_badge(options.badge)
    for name in FILES:
        check_writable(f"--{name}", getattr(options, name))
    check_folder("--scripts", options.scripts)
    prefer_one_thread()
    if options.case:
        return _rerun(orders, options.case)
    show = Show(options.quiet, options.verbose, options.color)
    reports, usage_errors = [], 0
    for order in orders:
        try:
            report = _certify_one(order, options.n, show)
        except (TargetError, UsageError) as error:
            print(f"bnspec: {error}", file=sys.stderr)
            usage_errors += 1
            continue
        reports.append(report)
        show.report(report, last=order is orders[-1])
        if options.scripts and not report.interrupted:
            print(_write_scripts(order, report, options.scripts))
        if report.interrupted:
            print(f"bnspec: interrupted in {order.target}; what was to come was not judged", file=sys.stderr)
            break
    certificate = Certificate(tuple(reports))
    if len(reports) > 1 and not options.quiet:
        print("\n".join(render_table(certificate)))
    if reports:
        _write_files(certificate, options)
    return 2 if usage_errors else certificate.exit_code


def _certify_one(order: Order, workers: int, show: Show) -> TargetReport:
    from bnspec.api import certify_isolated, make_subject
    from bnspec.engine.parallel import Workers
    from bnspec.engine.run import certify_subject, run_here
    from bnspec.layers.target import load_target

    text, request, arguments = order.target, order.request, order.arguments
    if order.isolate:
        with show.watching(text) as watch:
            return certify_isolated(load_target(text).obj, request, arguments, text, text, watch)
    subject, source = make_subject(load_target(text).obj, request, arguments, text)
    runner = run_here if workers == 1 else Workers(workers, text, arguments, request)
    with show.watching(text) as watch:
        return certify_subject(subject, request, text, arguments, source, runner, watch=watch)


def _write_scripts(order: Order, report: TargetReport, folder: str) -> str:
    """Write the scripts of a report's failures; what was written, and for which there is none."""
    from bnspec.engine.guard import call_here
    from bnspec.engine.isolation import Isolated
    from bnspec.reproduce.folder import write_scripts

    guard = Isolated().attempt if order.isolate else call_here
    written, without = write_scripts(order, report, folder, guard)
    told = f"{written} scripts written to {folder}"
    if not without:
        return told
    return f"{told}; none for {' '.join(without)}, which `bnspec replay` shows: it takes more than passes and states"


def _write_files(certificate: Certificate, options: argparse.Namespace) -> None:
    from bnspec.certificate.badge import render_badge
    from bnspec.certificate.files import write_whole
    from bnspec.certificate.junit import render_junit
    from bnspec.certificate.markdown import render_markdown

    faces: dict[str, Callable[[], str]] = {
        "json": certificate.to_json,
        "markdown": lambda: render_markdown(certificate),
        "junit": lambda: render_junit(certificate),
        "badge": lambda: render_badge(certificate, options.badge),
    }
    for name, face in faces.items():
        if file := getattr(options, name):
            write_whole(f"--{name}", file, face())


def _rerun(orders: list[Order], address: str) -> int:
    from bnspec.commands.rerun import rerun
    from bnspec.engine.plan import UsageError

    if len(orders) != 1:
        raise UsageError("--case runs one case of one target: name a single target")
    return rerun(orders[0], address)


def check_workers(count: int) -> None:
    """Raises UsageError for a number of processes that is none."""
    from bnspec.engine.plan import UsageError

    if count < 1:
        raise UsageError(f"-n {count}: give the number of worker processes, from 1 on")
