"""The certificate as JSON, after `schema.json`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from bnspec import __version__
from bnspec.certificate.model import SCHEMA_VERSION, Cell, Certificate, ClauseReport, TargetReport


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
        return "inf"
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
    fields = json.loads(text)
    clauses = []
    for clause in fields.pop("clauses"):
        cells = tuple(Cell(**_restore(cell)) for cell in clause.pop("cells"))
        clauses.append(ClauseReport(**_restore(clause), cells=cells))
    return TargetReport(**{**fields, "notes": tuple(fields["notes"])}, clauses=tuple(clauses))


def _restore(fields: dict[str, Any]) -> dict[str, Any]:
    return {**fields, "worst_ratio": math.inf} if fields["worst_ratio"] == "inf" else fields
