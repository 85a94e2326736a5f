"""What `tests/frameworks.toml` names of one framework, in the environment that `noxfile.py` makes for it.

    python -m tests.frameworks onnx [PROFILE]

Certifies and identifies its batch norms, and runs the reproducers of what was found in them. Ends with 1 where a MUST
clause fails that the table does not name, or passes that it names (smoke need not come to all of them), where probes
find another dialect than the one it is judged by, or where a reproducer shows no difference any more.
"""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import bnspec
from bnspec.certificate.model import FAILED, TargetReport
from bnspec.spec.clauses import CLAUSES

ROOT = Path(__file__).parents[1]
TABLE = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
SCRIPTS = ROOT / "examples/found_in_frameworks"


def tell(line: str) -> None:
    """Print it at once: some of this takes minutes."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def missed(report: TargetReport) -> set[str]:
    """The MUST clauses that fail."""
    return {c.id for c in report.clauses if c.outcome in FAILED and CLAUSES[c.id].level == "MUST"}


def certify(name: str, row: dict[str, Any], profile: str) -> tuple[bool, str]:
    """Is it as the table says? And the dialect that it was judged by."""
    report = bnspec.certify(row["target"], profile=profile, dialect=row.get("dialect")).targets[0]
    found = missed(report)
    known = set(row.get("misses", found))  # those of what was not measured are told
    right = found == known if profile != "smoke" else found <= known
    judged = sum(clause.executed for clause in report.clauses)
    tell(
        f"{'ok ' if right else 'OFF'} {name}: {row['target']} {report.verdict} to {report.dialect}, {profile},"
        f" {judged} judgements, {report.duration_s:.0f} s, misses {' '.join(sorted(found)) or 'none'}"
    )
    if not right:
        tell(str(report))
    return right, report.dialect


def identify(name: str, row: dict[str, Any], dialect: str) -> bool:
    """Do probes find the dialect, without an exception but those of the table?"""
    nearest = bnspec.identify(row["target"], arguments=row.get("arguments")).nearest
    right = dialect in nearest.names and list(nearest.differing) == row.get("differs", [])
    but = f" but for {' '.join(nearest.differing)}" if nearest.differing else ""
    tell(f"{'ok ' if right else 'OFF'} {name}: {row['target']} is identified as {', '.join(nearest.names)}{but}")
    return right


def reproduce(name: str, script: str) -> bool:
    """Does a reproducer get something else than is wanted?"""
    run = subprocess.run([sys.executable, SCRIPTS / script], capture_output=True, text=True, check=False)
    got, _, wanted = run.stdout.rpartition("got ")[2].strip().partition(" wanted ")
    right = run.returncode == 0 and bool(wanted) and got != wanted.partition(" or ")[0]
    tell(f"{'ok ' if right else 'OFF'} {name}: {script} got {got} wanted {wanted}")
    if not right:
        tell(run.stderr)
    return right


def main(name: str, profile: str = "standard") -> int:
    """1 where anything is not as the table says."""
    right = True
    for row in TABLE[name]["certified"]:
        dialect = row.get("identified")
        if dialect is None:
            certified, dialect = certify(name, row, profile)
            right &= certified
        right &= identify(name, row, dialect)
    for script in TABLE[name].get("findings", []):
        right &= reproduce(name, script)
    return int(not right)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
