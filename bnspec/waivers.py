"""Failures that a project knows of and lives with: which clause, on which cases, why, until when, and one example.

A waiver cannot rot: its example is replayed before anything else, and one that has expired, or whose example passes by
now, fails the run.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from bnspec.cases.case import AddressError, Case, parse_address
from bnspec.certificate.model import FAILED, Certificate
from bnspec.engine.plan import Request, UsageError, refuse_unknown
from bnspec.spec.clauses import CLAUSES

REQUIRED: dict[str, tuple[type, str]] = {
    "clause": (str, "an id, such as G14"),
    "target": (str, "the target as the run names it, a file relative to this one"),
    "reason": (str, "a sentence"),
    "expires": (date, "a date, such as 2027-06-30"),
    "case": (str, "the address of a case that fails, as the failure prints it"),
}
OPTIONAL: dict[str, tuple[type, str]] = {
    "link": (str, "an address"),
    "where": (dict, "a table, such as { dtype = 'float16' }"),
}
KINDS = REQUIRED | OPTIONAL
DECISIONS = frozenset(field.name for field in fields(Case)[5:] if field.type in ("str", "bool"))
PREDICATES = ("ability", "device", "dtype", "experiment", "rank", *sorted(DECISIONS))
"""What `where` may ask of a case; `ability` is one that the clause or the experiment needs."""


@dataclass(frozen=True)
class Waiver:
    """One entry of a file. It covers the cases that have, for each key of `where`, one of its values."""

    clause: str
    target: str
    reason: str
    expires: date
    case: str
    link: str = ""
    where: tuple[tuple[str, tuple[Any, ...]], ...] = ()
    place: str = ""
    expired: bool = False

    @property
    def device(self) -> str:
        """The device of its example."""
        return self.case.partition("/")[0]

    @property
    def example(self) -> Case:
        """Its example. Raises AddressError."""
        return parse_address(self.case.partition("/")[2])

    def covers(self, clause: str, case: Case, device: str, needs: Collection[str]) -> bool:
        """Is a failure of the clause on this case waived? `needs` are the abilities that clause and experiment need."""
        if clause != self.clause or self.expired:
            return False
        facts: dict[str, Collection[Any]] = {
            "ability": needs,
            "device": (device, device.partition(":")[0]),
            "dtype": (case.dtype,),
            "experiment": (case.experiment,),
            "rank": (len(case.shape),),
        }
        found = (facts.get(key, (getattr(case, key, None),)) for key, _ in self.where)
        return all(set(wanted) & set(has) for (_, wanted), has in zip(self.where, found, strict=True))


def read_waivers(file: Path, today: date) -> list[Waiver]:
    """The waivers of a TOML file, `[[waiver]]` each. Raises UsageError, one line that names the place in the file."""
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"waivers {file}: cannot be read ({error.strerror}); name the file, or leave it out") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"waivers {file} is no valid TOML: {error}") from None
    entries = document.pop("waiver", [])
    if document or not isinstance(entries, list):
        raise UsageError(f"waivers {file}: holds what is no waiver; each is a table that begins with [[waiver]]")
    return [_read_waiver(entry, f"waiver {number} of {file}", file, today) for number, entry in enumerate(entries, 1)]


def waive(request: Request, target: str, file: Path | None) -> Request:
    """The request with those waivers of a file that speak of its target. Raises UsageError."""
    waivers = [] if file is None else read_waivers(file, date.today())
    name = locate(target, Path.cwd())
    return replace(request, waivers=tuple(waiver for waiver in waivers if waiver.target == name))


def _read_waiver(entry: Mapping[str, Any], place: str, file: Path, today: date) -> Waiver:
    for key, value in entry.items():
        if key not in KINDS:
            raise UsageError(f"{place}: {refuse_unknown('key', key, KINDS)}")
        kind, words = KINDS[key]
        if type(value) is not kind or not value:
            raise UsageError(f"{place}: {key} = {value!r} is not {words}")
    missing = next((key for key in REQUIRED if key not in entry), None)
    if missing:
        raise UsageError(f"{place}: {missing} is missing, {REQUIRED[missing][1]}")
    if entry["clause"] not in CLAUSES:
        raise UsageError(f"{place}: {refuse_unknown('clause', entry['clause'], CLAUSES)}")
    where = tuple((key, _list(value)) for key, value in entry.get("where", {}).items())
    for key, _ in where:
        if key not in PREDICATES:
            raise UsageError(f"{place}: {refuse_unknown('key of where', key, PREDICATES)}")
    rest = {key: value for key, value in entry.items() if key not in ("where", "target")}
    target = locate(entry["target"], file.parent)
    waiver = Waiver(**rest, target=target, where=where, place=place, expired=entry["expires"] < today)
    try:
        _ = waiver.example
    except AddressError as error:
        raise UsageError(f"{place}: {error}") from None
    return waiver


def tell_waived(clause: str, waivers: Iterable[Waiver]) -> str:
    """Why failures of a clause are waived, and until when."""
    told = (f"{waiver.reason} (until {waiver.expires})" for waiver in waivers if waiver.clause == clause)
    return "; ".join(told)


def _list(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, list) else (value,)


def locate(target: str, folder: Path) -> str:
    """The target with its file in full, where it names one, relative to a folder: the same by whatever path."""
    location, colon, attribute = target.rpartition(":")
    if not location.endswith(".py"):
        return target
    return f"{(folder / Path(location).expanduser()).resolve()}{colon}{attribute}"


def render_waivers(
    certificate: Certificate, clauses: Collection[str], reason: str, link: str, expires: date, folder: Path
) -> list[str]:
    """A waiver, as TOML, for each failure of a certificate, or of some clauses. Raises UsageError where there is none.

    Files are named relative to `folder`; a failure that shows in some dtypes alone is waived there alone.
    """
    written = []
    for report in certificate.targets:
        for clause in report.clauses:
            if clause.outcome not in FAILED or (clauses and clause.id not in clauses):
                continue
            fields = {"clause": clause.id, "target": _name_from(report.target, folder), "reason": reason}
            fields |= {"link": link} if link else {}
            lines = ["[[waiver]]", *(f"{key} = {json.dumps(text)}" for key, text in fields.items())]
            lines += [f"expires = {expires.isoformat()}", f"case = {json.dumps(clause.case)}"]
            failing = sorted({cell.dtype for cell in clause.cells if cell.outcome in FAILED})
            if len(failing) < len({cell.dtype for cell in clause.cells}):
                lines.append(f"where = {{ dtype = {json.dumps(failing)} }}")
            written.append("\n".join(lines) + "\n")
    if not written:
        raise UsageError(f"the certificate has no failure{' of ' + ' '.join(clauses) if clauses else ''} to waive")
    return written


def _name_from(target: str, folder: Path) -> str:
    location, colon, attribute = target.rpartition(":")
    if not location.endswith(".py"):
        return target
    return f"{Path(os.path.relpath(Path(location).expanduser(), folder)).as_posix()}{colon}{attribute}"
