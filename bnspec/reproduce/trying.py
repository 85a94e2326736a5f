"""A script on trial: a process of its own runs it, and it must end as scripts do that show a failure."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import suppress

from bnspec.engine.child import can_fork, run_once

LIMIT_S = 60.0


def shows(script: str) -> bool:
    """Does it end with 1, by its own word and by no error?"""
    if can_fork():
        return bool(run_once(lambda: _run(script), LIMIT_S) == 1)
    with suppress(subprocess.TimeoutExpired):
        command = [sys.executable, "-"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        return done.returncode == 1 and "Traceback" not in done.stderr
    return False


def _run(script: str) -> object:
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        exec(compile(script, "script", "exec"), {"__name__": "__main__"})
    except SystemExit as left:
        return int(left.code) if isinstance(left.code, bool) else left.code
    except Exception:  # noqa: BLE001  # whatever it raises: this script will not do
        return None
    return 0
