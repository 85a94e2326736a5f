"""The certificate as JSON, after `schema.json`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bnspec import __version__
from bnspec.certificate.model import SCHEMA_VERSION, Cell, Certificate, ClauseReport, TargetReport, WaiverReport
from bnspec.engine.plan import UsageError

READABLE = ("1.0", SCHEMA_VERSION)
"""Versions of the schema whose documents can be read; 1.0 knew of no waivers."""


def render_json(certificate: Certificate) -> str:
    """One JSON document; a ratio that no bound can express is the string "inf", as JSON has no infinity."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "bnspec_version": __version__,
        "verdict": certificate.verdict,
        "targets": [asdict(report) for report in certificate.targets],
    }
    return json.dumps(_replace_infinities(document), indent=1, allow_nan=False, default=str) + "\n"


def _replace_infinities(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return "-inf" if value < 0 else "inf"
    if isinstance(value, dict):
        return {key: _replace_infinities(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_replace_infinities(each) for each in value]
    return value


def report_to_json(report: TargetReport) -> str:
    """One report, to travel between processes."""
    return json.dumps(_replace_infinities(asdict(report)), allow_nan=False, default=str)


def report_from_json(text: str) -> TargetReport:
    """The report that `report_to_json` wrote."""
    return _read_report(json.loads(text))


def _read_report(fields: dict[str, Any]) -> TargetReport:
    clauses = []
    for clause in fields.pop("clauses"):
        cells = tuple(Cell(**_restore(cell)) for cell in clause.pop("cells"))
        clauses.append(ClauseReport(**_restore(clause), cells=cells))
    waivers = tuple(WaiverReport(**waiver) for waiver in fields.pop("waivers", ()))
    return TargetReport(**{**fields, "notes": tuple(fields["notes"])}, clauses=tuple(clauses), waivers=waivers)


def read_certificate(file: Path) -> Certificate:
    """The certificate in a file, of this version of the schema or an earlier one. Raises UsageError."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{file} cannot be read ({error.strerror}): name a file that `certify --json` wrote") from None
    except ValueError:
        raise UsageError(f"{file} is no JSON: name a file that `certify --json` wrote, in full") from None
    version = document.get("schema_version") if isinstance(document, dict) else None
    if version not in READABLE:
        told = f"of version {version} of the schema" if version else "no certificate"
        raise UsageError(f"{file} is {told}, and bnspec {__version__} reads {', '.join(READABLE)}")
    try:
        return Certificate(tuple(_read_report(fields) for fields in document["targets"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"{file} is not whole ({type(error).__name__}: {error}): write it anew") from None


def _restore(fields: dict[str, Any]) -> dict[str, Any]:
    ratio, measures = fields["worst_ratio"], fields.get("measures")
    restored = {**fields, "worst_ratio": math.inf} if ratio == "inf" else fields
    if measures:
        restored = {**restored, "measures": {name: float(worth) for name, worth in measures.items()}}
    return restored
