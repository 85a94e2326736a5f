"""`bnspec identify`: which conventions a target follows."""

from __future__ import annotations

import argparse
import json
import textwrap
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bnspec.identification.answers import Answer
    from bnspec.identification.identity import Identity

WIDTH = 110


def add_command(commands: Any) -> None:
    """Name the command and its options."""
    identify = commands.add_parser(
        "identify",
        help="find out by probes which conventions a batch norm follows",
        epilog="It judges nothing: `bnspec certify TARGET --dialect NAME` does, by the dialect that is named here.",
    )
    identify.add_argument("target", metavar="TARGET", help="as `bnspec certify` takes it")
    identify.add_argument("--arg", action="append", default=[], metavar="KEY=VALUE",
                          help="a constructor argument, as a Python literal; may be repeated")  # fmt: skip
    identify.add_argument("--without", nargs="+", default=[], metavar="ABILITY",
                          help="leave out what the target does not offer, such as gradients")  # fmt: skip
    identify.add_argument("--json", metavar="FILE", help="write the answers as JSON too")
    identify.set_defaults(run=print_identity)


def print_identity(options: argparse.Namespace) -> int:
    """A line for each convention, what cannot be told, and a sentence. Raises TargetError."""
    from bnspec.certificate.files import write_whole
    from bnspec.identification.identity import identify
    from bnspec.layers.target import parse_arguments

    found = identify(options.target, arguments=parse_arguments(options.arg), without=options.without)
    if options.json:
        write_whole("--json", options.json, json.dumps(as_plain(found), indent=2) + "\n")
    print(render(found))
    return 0


def render(found: Identity) -> str:
    """The answers that were told, those that were not, the sentence."""
    told = [a for a in found.answers.values() if a.value is not None]
    untold = [a for a in found.answers.values() if a.value is None]
    lines = [f"{found.target}: {len(told)} conventions told by probes, {len(untold)} not", ""]
    for answer in told:
        lines += _wrap(f"  {answer.field:24} ", f"{_tell(answer)}" + (f"   ({answer.seen})" if answer.seen else ""))
    if untold:
        lines += ["", "cannot tell, and what it would take:"]
        for answer in untold:
            lines += _wrap(f"  {answer.field:24} ", "; ".join(filter(None, (answer.needs, answer.seen))))
    return "\n".join([*lines, "", *textwrap.wrap(found.sentence, WIDTH)])


def _tell(answer: Answer) -> str:
    return answer.value if isinstance(answer.value, str) else repr(answer.value)


def _wrap(begin: str, text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin))


def as_plain(found: Identity) -> dict[str, Any]:
    """The answers as JSON has them."""
    return {
        "target": found.target,
        "dialects": list(found.nearest.names),
        "except": list(found.nearest.differing),
        "sentence": found.sentence,
        "answers": {a.field: {"value": a.value, "seen": a.seen, "needs": a.needs} for a in found.answers.values()},
    }
