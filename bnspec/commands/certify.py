"""`bnspec certify`: targets against the specification."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from bnspec.commands import EXIT_HELP

if TYPE_CHECKING:
    from bnspec.certificate.model import TargetReport
    from bnspec.engine.plan import Request

TARGET_HELP = "package.module:attribute, path/to/file.py:attribute or reference:NAME (numpy, torch, seed)"


def add_command(commands: Any) -> None:
    """Name the command and its options."""
    certify = commands.add_parser("certify", help="certify targets against the specification", epilog=EXIT_HELP)
    certify.add_argument("targets", nargs="+", metavar="TARGET", help=TARGET_HELP)
    certify.add_argument("--arg", action="append", default=[], metavar="KEY=VALUE",
                         help="a constructor argument, as a Python literal; may be repeated")  # fmt: skip
    certify.add_argument("--dialect", metavar="NAME", help="the conventions to judge by (default: its own, else torch)")
    certify.add_argument("--profile", default="standard", help="smoke, standard (default) or thorough")
    certify.add_argument("--seed", type=int, default=0, help="another seed draws other cases (default 0)")
    certify.add_argument("--device", nargs="+", default=[], metavar="DEVICE", help="cpu, cuda, cuda:0 or all (default)")
    certify.add_argument(
        "--dtype", nargs="+", default=[], metavar="DTYPE", help="float64, mixed_bfloat16, ... (default: all promised)"
    )
    certify.add_argument("--without", nargs="+", default=[], metavar="ABILITY",
                         help="leave out what the target does not offer, such as gradients")  # fmt: skip
    certify.add_argument(
        "--clause",
        nargs="+",
        default=[],
        metavar="ID",
        help="judge these clauses alone; of SHOULD clauses named alone each decides",
    )
    certify.add_argument("--case", metavar="ADDRESS", help="run one case again, by the address that a failure prints")
    certify.add_argument("--strict", action="store_true", help="SHOULD clauses decide too")
    certify.add_argument("--fail-fast", action="store_true", help="stop at the first failure, and do not shrink it")
    certify.add_argument("--json", metavar="FILE", help="write the certificate as JSON")
    certify.add_argument("-n", type=int, default=1, metavar="WORKERS", help="run in so many processes (default 1)")
    certify.add_argument("--isolate", action="store_true",
                         help="judge in a child process, which the target may crash or keep for ever")  # fmt: skip
    certify.set_defaults(run=certify_targets)


def certify_targets(options: argparse.Namespace) -> int:
    """Certify each target, print the certificates, and write what was asked for."""
    from bnspec.certificate.files import check_writable, write_whole
    from bnspec.certificate.model import Certificate
    from bnspec.certificate.terminal import render
    from bnspec.engine.plan import Request, UsageError, check_request
    from bnspec.engine.threads import prefer_one_thread
    from bnspec.layers.target import TargetError, parse_arguments

    request = check_request(Request(
        options.dialect, options.profile, options.seed, tuple(options.device), tuple(options.dtype),
        tuple(options.without), tuple(options.clause), options.strict, options.fail_fast,
    ))  # fmt: skip
    check_workers(options.n)
    if options.isolate and options.n > 1:
        raise UsageError("--isolate judges in one child process: leave -n out")
    arguments = parse_arguments(options.arg)
    check_writable("--json", options.json)
    prefer_one_thread()
    if options.case:
        return _rerun(options, request, arguments)
    reports, usage_errors = [], 0
    for text in options.targets:
        try:
            report = _certify_one(text, request, arguments, options.n, options.isolate)
        except (TargetError, UsageError) as error:
            print(f"bnspec: {error}", file=sys.stderr)
            usage_errors += 1
            continue
        reports.append(report)
        print(render(Certificate((report,))), end="\n\n" if len(options.targets) > 1 else "\n", flush=True)
    certificate = Certificate(tuple(reports))
    if len(reports) > 1:
        from bnspec.certificate.terminal import render_table

        print("\n".join(render_table(certificate)))
    if options.json and reports:
        write_whole("--json", options.json, certificate.to_json())
    return 2 if usage_errors else certificate.exit_code


def _certify_one(text: str, request: Request, arguments: dict[str, Any], workers: int, isolate: bool) -> TargetReport:
    from bnspec.api import certify_isolated, make_subject
    from bnspec.engine.parallel import Workers
    from bnspec.engine.run import certify_subject, run_here
    from bnspec.layers.target import load_target

    if isolate:
        return certify_isolated(load_target(text).obj, request, arguments, text, text)
    subject, source = make_subject(load_target(text).obj, request, arguments, text)
    runner = run_here if workers == 1 else Workers(workers, text, arguments, request)
    return certify_subject(subject, request, text, arguments, source, runner)


def _rerun(options: argparse.Namespace, request: Request, arguments: dict[str, Any]) -> int:
    """Print what each clause says to one case. Exit 1 if one fails; there is no verdict."""
    from bnspec.api import make_subject
    from bnspec.certificate.merge import describe_ratio
    from bnspec.engine.plan import UsageError
    from bnspec.engine.rerun import rerun_case
    from bnspec.layers.target import load_target

    if len(options.targets) != 1:
        raise UsageError("--case runs one case of one target: name a single target")
    subject, _ = make_subject(load_target(options.targets[0]).obj, request, arguments, options.targets[0])
    failed = False
    for clause, judged in rerun_case(subject, request, options.case).items():
        failed |= judged.failed
        word = "FAIL" if judged.failed else "nothing to compare" if judged.ratio is None else "pass"
        print(f"{clause:4} {word}  {describe_ratio(judged.ratio)} bounds")
        if judged.failed:
            where = f" at {judged.where}" if judged.where else ""
            print(f"     {judged.quantity}: got {judged.got}, wanted {judged.wanted}{where}")
    return int(failed)


def check_workers(count: int) -> None:
    """Raises UsageError for a number of processes that is none."""
    from bnspec.engine.plan import UsageError

    if count < 1:
        raise UsageError(f"-n {count}: give the number of worker processes, from 1 on")
