"""The command line. Heavy imports wait until a command needs them: help and the specification start at once."""

from __future__ import annotations

import argparse
import sys
import textwrap
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

from bnspec import __version__
from bnspec.engine.collecting import collecting_rarely
from bnspec.spec.clauses import CLAUSES, FAMILIES, LEVELS, NOTATION, SPEC_VERSION, UnknownClause, find_clause

if TYPE_CHECKING:
    from bnspec.certificate.model import TargetReport
    from bnspec.engine.plan import Request

EXIT_HELP = (
    "exit codes: 0 conforms, 1 does not conform, 2 wrong usage, 3 incomplete, 4 a fault of bnspec, 130 interrupted"
)
TARGET_HELP = "package.module:attribute, path/to/file.py:attribute or reference:NAME (numpy, torch, seed)"


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
    from bnspec.cases.case import AddressError
    from bnspec.engine.plan import UsageError
    from bnspec.layers.target import TargetError
    from bnspec.selftest import UnknownLayer

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
    certify.set_defaults(run=_certify)

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
    selftest.set_defaults(run=_selftest)

    spec = commands.add_parser("spec", help="print the specification, or one clause of it")
    spec.add_argument("clause", nargs="?", metavar="CLAUSE", help="an id, such as F3")
    spec.set_defaults(run=_print_spec)
    return parser


def _certify(options: argparse.Namespace) -> int:
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
    _check_workers(options.n)
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


def _selftest(options: argparse.Namespace) -> int:
    from bnspec.certificate.files import check_writable, write_whole
    from bnspec.engine.plan import Request, check_request
    from bnspec.engine.threads import prefer_one_thread
    from bnspec.mutants.page import render_page
    from bnspec.selftest import run_selftest, select_layers

    check_request(Request(profile=options.profile))
    _check_workers(options.n)
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


def _check_workers(count: int) -> None:
    from bnspec.engine.plan import UsageError

    if count < 1:
        raise UsageError(f"-n {count}: give the number of worker processes, from 1 on")


def _print_spec(options: argparse.Namespace) -> int:
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


if __name__ == "__main__":
    sys.exit(main())
