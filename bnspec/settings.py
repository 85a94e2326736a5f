"""What a project asks for in `[tool.bnspec]` of its pyproject.toml: the targets, and how each is to be judged."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bnspec.engine.plan import Request, UsageError, check_request, refuse_unknown
from bnspec.waivers import waive

if TYPE_CHECKING:
    from bnspec.certificate.model import TargetReport

FILE = "pyproject.toml"
KINDS: dict[str, tuple[type, str]] = {
    "args": (dict, "a table of constructor arguments, such as { unbiased = false }"),
    "clause": (list, "a list of ids"),
    "device": (list, "a list of names"),
    "dialect": (str, "a name"),
    "dtype": (list, "a list of names"),
    "isolate": (bool, "true or false"),
    "profile": (str, "a name"),
    "seed": (int, "a whole number"),
    "spec": (str, "a version in quotes"),
    "strict": (bool, "true or false"),
    "waivers": (str, "the name of a file"),
    "without": (list, "a list of abilities"),
}
"""The keys that say how a target is judged, those of the command line, with the types of their values."""

FIELDS = {
    "clause": "clauses", "device": "devices", "dialect": "dialect", "dtype": "dtypes", "fail_fast": "fail_fast",
    "profile": "profile", "seed": "seed", "spec": "spec", "strict": "strict", "without": "without",
}  # fmt: skip
"""Of the names that options and keys have, those that are fields of a request."""


@dataclass(frozen=True)
class Order:
    """One target and how it is to be judged."""

    target: str
    request: Request
    arguments: dict[str, Any] = field(default_factory=dict)
    isolate: bool = False


def find_project(start: Path) -> Path | None:
    """The nearest folder, from `start` upwards, whose pyproject.toml has the table. Raises UsageError."""
    return next((folder for folder in (start, *start.parents) if _read_table(folder / FILE) is not None), None)


def read_orders(folder: Path) -> list[Order]:
    """What the project in a folder asks for, in its order; files that are named relative to it are found from here.

    Raises UsageError, one line that names the file and the key, where it cannot be followed.
    """
    file = folder / FILE
    table = _read_table(file)
    if table is None:
        raise UsageError(f"{file} has no table [tool.bnspec]: add one, with targets = ['my_layers.py:MyBatchNorm']")
    targets = table.pop("targets", None)
    if not isinstance(targets, list) or not targets:
        raise UsageError(f"{file}: targets of [tool.bnspec] is to be a list of targets, such as ['my.py:MyBatchNorm']")
    shared = _check(table, f"{file}: [tool.bnspec]")
    return [_read_order(each, shared, file) for each in targets]


def _read_table(file: Path) -> dict[str, Any] | None:
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} is no valid TOML: {error}") from None
    tool = document.get("tool")
    table = tool.get("bnspec") if isinstance(tool, dict) else None
    return dict(table) if isinstance(table, dict) else None


def _read_order(given: Any, shared: Mapping[str, Any], file: Path) -> Order:
    """A target is a text, or a table that holds one and whatever is different for it."""
    own = {"target": given} if isinstance(given, str) else given
    if not isinstance(own, dict) or not isinstance(own.get("target"), str):
        raise UsageError(f"{file}: {given!r} among the targets is neither a text nor a table with `target`")
    target = own["target"]
    rest = _check({key: value for key, value in own.items() if key != "target"}, f"{file}: target {target!r}")
    chosen = {**shared, **rest}
    here = _find_from_here(target, file.parent)
    asked: dict[str, Any] = {FIELDS[key]: value for key, value in chosen.items() if key in FIELDS}
    asked = {key: tuple(value) if isinstance(value, list) else value for key, value in asked.items()}
    try:
        waivers = file.parent / chosen["waivers"] if "waivers" in chosen else None
        request = waive(check_request(Request(**asked)), here, waivers)
    except UsageError as error:
        raise UsageError(f"{file}: target {target!r}: {error}") from None
    return Order(here, request, dict(chosen.get("args", {})), chosen.get("isolate", False))


def _check(table: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """The table, if each key is known and each value of its type."""
    for key, value in table.items():
        if key not in KINDS:
            raise UsageError(f"{where}: {refuse_unknown('key', key, KINDS)}")
        kind, words = KINDS[key]
        texts = value if isinstance(value, list) else ()
        if type(value) is not kind or not all(isinstance(text, str) for text in texts):
            raise UsageError(f"{where}: {key} = {value!r} is not {words}")
    return table


def _find_from_here(target: str, folder: Path) -> str:
    """The target as the working directory names it; that of a module stays what it is."""
    location, colon, attribute = target.rpartition(":")
    if not location.endswith(".py") or Path(location).expanduser().is_absolute():
        return target
    return f"{Path(os.path.relpath(folder / location)).as_posix()}{colon}{attribute}"


def order_of(report: TargetReport) -> Order:
    """What was asked for where a report was made, without its waivers. Devices are left open: here may be others."""
    without, clauses = (tuple(map(str, _texts(report.scope[key]))) for key in ("without", "clauses"))
    request = Request(
        report.dialect, report.profile, report.seed, without=without, clauses=clauses,
        strict=bool(report.scope["strict"]), spec=str(report.scope.get("spec", report.spec_version)),
    )  # fmt: skip
    return Order(report.target, request, dict(report.args))


def _texts(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
