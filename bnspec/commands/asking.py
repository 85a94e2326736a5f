"""The options that say what is judged and how, and the orders that they make: of the command line or of a project."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnspec.engine.plan import Request
    from bnspec.settings import Order

TARGET_HELP = (
    "package.module:attribute, path/to/file.py:attribute, path/to/model.onnx[:node] or reference:NAME (numpy, torch,"
    " seed); where none is named, those of [tool.bnspec] in the nearest pyproject.toml, with what it says of each"
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add them to a command. What is not given is None, so that a project's settings stand."""
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=TARGET_HELP)
    parser.add_argument("--arg", action="append", default=[], metavar="KEY=VALUE",
                        help="a constructor argument, as a Python literal; may be repeated")  # fmt: skip
    parser.add_argument("--dialect", metavar="NAME", help="the conventions to judge by (default: its own, else torch)")
    parser.add_argument("--profile", help="smoke, standard (default) or thorough")
    parser.add_argument("--seed", type=int, help="another seed draws other cases (default 0)")
    parser.add_argument("--device", nargs="+", metavar="DEVICE", help="cpu, cuda, cuda:0 or all (default)")
    parser.add_argument(
        "--dtype", nargs="+", metavar="DTYPE", help="float64, mixed_bfloat16, ... (default: all promised)"
    )
    parser.add_argument("--without", nargs="+", metavar="ABILITY",
                        help="leave out what the target does not offer, such as gradients")  # fmt: skip
    parser.add_argument("--clause", nargs="+", metavar="ID",
                        help="judge these clauses alone; of SHOULD clauses named alone each decides")  # fmt: skip
    parser.add_argument("--waivers", metavar="FILE", help="failures that are known and lived with, as TOML")
    parser.add_argument("--spec", metavar="VERSION", help="clauses newer than that decide nothing")
    parser.add_argument("--strict", action="store_true", default=None, help="SHOULD clauses decide too")
    parser.add_argument("--fail-fast", action="store_true", default=None,
                        help="stop at the first failure, and do not shrink it")  # fmt: skip
    parser.add_argument("--isolate", action="store_true",
                        help="judge in a child process, which the target may crash or keep for ever")  # fmt: skip


def read_orders(options: argparse.Namespace) -> list[Order]:
    """What is to be judged. Options that are given stand above those of the project. Raises UsageError, TargetError."""
    from bnspec.engine.plan import Request, check_request
    from bnspec.layers.target import parse_arguments
    from bnspec.settings import FIELDS, Order
    from bnspec.waivers import waive

    arguments = parse_arguments(options.arg)
    given: dict[str, Any] = {field: getattr(options, name) for name, field in FIELDS.items()}
    given = {k: tuple(v) if isinstance(v, list) else v for k, v in given.items() if v is not None}
    file = None if options.waivers is None else Path(options.waivers)
    if options.targets:
        request = check_request(Request(**given))
        return [Order(text, waive(request, text, file), arguments, options.isolate) for text in options.targets]
    return [
        replace(
            order,
            request=_replace(order, given, file),
            arguments=order.arguments | arguments,
            isolate=order.isolate or options.isolate,
        )
        for order in _read_project()
    ]


def _replace(order: Order, given: dict[str, Any], file: Path | None) -> Request:
    from bnspec.engine.plan import check_request
    from bnspec.waivers import waive

    request = check_request(replace(order.request, **given))
    return waive(request, order.target, file) if file else request


def _read_project() -> list[Order]:
    """The orders of the nearest project, whose modules can be imported from then on."""
    from bnspec.engine.plan import UsageError
    from bnspec.layers.target import make_importable
    from bnspec.settings import find_project, read_orders

    folder = find_project(Path.cwd())
    if folder is None:
        raise UsageError(
            "no target is named, and no pyproject.toml from here upwards has a table [tool.bnspec]: name one, such as"
            " bnspec certify torch.nn:BatchNorm1d"
        )
    make_importable(folder)
    return read_orders(folder)
