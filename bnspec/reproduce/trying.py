"""A script on trial: a process of its own runs it, and it must end as scripts do that show a failure."""

from __future__ import annotations

import contextlib
import io
import os
import subprocess
import sys

from bnspec.engine.child import can_fork, run_once

LIMIT_S = 60.0


def shows(script: str, says: str = "", *, fork: bool = True) -> bool:
    """Does it end with 1, by its own word and by no error, and say this much? By a fork where the subject can stand it.

    A script may fail by other numbers than the certificate where it does not do all that was done before.
    """
    if fork and can_fork():
        code, said = run_script(script)
        return code == 1 and says in said
    with contextlib.suppress(subprocess.TimeoutExpired):
        command = [sys.executable, "-"]
        done = subprocess.run(command, input=script, capture_output=True, text=True, timeout=LIMIT_S, check=False)
        return done.returncode == 1 and "Traceback" not in done.stderr and says in done.stdout
    return False


def run_script(script: str) -> tuple[object, str]:
    """The exit code of a forked child that runs it, and what was printed; None where it raises, or does not end."""
    ended = run_once(lambda: _run(script), LIMIT_S)
    return ended if isinstance(ended, tuple) else (None, "")


def _run(script: str) -> tuple[object, str]:
    os.environ["OMP_NUM_THREADS"] = "1"
    with contextlib.redirect_stdout(io.StringIO()) as said:
        try:
            exec(compile(script, "script", "exec"), {"__name__": "__main__"})
        except SystemExit as left:
            code = int(left.code) if isinstance(left.code, bool) else left.code
            return code, said.getvalue()
        except Exception:  # noqa: BLE001  # whatever it raises: this script will not do
            return None, ""
    return 0, said.getvalue()
