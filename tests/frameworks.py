"""Certifies what `tests/frameworks.toml` names of one framework, in the environment that `noxfile.py` makes for it.

    python -m tests.frameworks onnx [PROFILE]

Ends with 1 where a MUST clause fails that the table does not name, or passes that it names; smoke need not come to all
of them. Where the table says nothing, the verdict is told as new.
"""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

import bnspec
from bnspec.certificate.model import FAILED, TargetReport
from bnspec.spec.clauses import CLAUSES

TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))


def missed(report: TargetReport) -> set[str]:
    """The MUST clauses that fail."""
    return {c.id for c in report.clauses if c.outcome in FAILED and CLAUSES[c.id].level == "MUST"}


def certify(name: str, profile: str) -> int:
    """Print a line for each target; 1 where one differs from the table."""
    off = 0
    for row in TABLE[name]["certified"]:
        report = bnspec.certify(row["target"], profile=profile).targets[0]
        found, known = missed(report), row.get("misses")
        wanted = found if known is None else set(known)
        right = found == wanted if profile != "smoke" else found <= wanted
        judged = sum(clause.executed for clause in report.clauses)
        off |= not right
        mark = "new" if known is None else "ok " if right else "OFF"
        sys.stdout.write(
            f"{mark} {name}: {row['target']} {report.verdict} to {report.dialect},"
            f" {profile}, {judged} judgements, {report.duration_s:.0f} s, misses {' '.join(sorted(found)) or 'none'}\n"
        )
        sys.stdout.write("" if right else f"{report}\n")
        sys.stdout.flush()
    return off


if __name__ == "__main__":
    sys.exit(certify(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "standard"))
