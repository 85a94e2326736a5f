"""Certificates as files, whatever happens to the run: who finds one finds a whole one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bnspec.certificate.files import check_writable, write_whole
from bnspec.engine.plan import UsageError

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, "-m", "bnspec.cli", "certify", f"{ROOT / 'tests/targets/cli_layers.py'}:Right", "-q"]
QUICK = ("--profile", "smoke", "--dtype", "float32", "--clause", "F1")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT)}

posix = pytest.mark.skipif(os.name != "posix", reason="limits and signals are those of POSIX")


@posix
def test_on_a_full_disk_nothing_is_left_and_the_run_says_so(tmp_path: Path) -> None:
    """As full as it can be made here: no file may grow beyond a kilobyte."""
    import resource

    done = subprocess.run(
        [*COMMAND, *QUICK, "--json", str(tmp_path / "c.json")], env=ENVIRONMENT, capture_output=True, text=True,
        check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024)),
    )  # fmt: skip
    assert done.returncode == 2
    assert "CONFORMS to torch" in done.stdout
    assert done.stderr == f"bnspec: --json {tmp_path}/c.json: cannot be written (File too large); {ELSEWHERE}"
    assert list(tmp_path.iterdir()) == []


ELSEWHERE = "name a file in a folder that can\n"


def test_where_nothing_can_be_written_nothing_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    asked = [*COMMAND, *QUICK, "--junit", str(tmp_path / "file/c.xml")]
    done = subprocess.run(asked, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(ELSEWHERE)


@posix
def test_a_run_that_is_killed_leaves_the_certificate_that_was_there(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    file.write_text("what was there", encoding="utf-8")
    asked = [*COMMAND, "--profile", "thorough", "--json", str(file)]
    with subprocess.Popen(asked, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(4)  # it imports, or it judges: either way it has not ended
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert [each.read_text(encoding="utf-8") for each in tmp_path.iterdir()] == ["what was there"]


def test_two_runs_at_once_in_one_folder_leave_a_whole_certificate(tmp_path: Path) -> None:
    file = tmp_path / "c.json"
    asked = [*COMMAND, *QUICK, "--json", str(file)]
    both = [subprocess.Popen([*asked, "--seed", seed], env=ENVIRONMENT, stdout=subprocess.PIPE) for seed in ("1", "2")]
    for process in both:
        process.communicate()
    assert [process.returncode for process in both] == [0, 0]
    document = json.loads(file.read_text(encoding="utf-8"))
    assert (document["verdict"], document["targets"][0]["seed"] in (1, 2)) == ("conforms", True)
    assert list(tmp_path.iterdir()) == [file]


def test_a_file_is_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "c.json"
    file.write_text("old", encoding="utf-8")
    seen = []

    def look(*_: object) -> None:
        seen.append(file.read_text(encoding="utf-8"))

    monkeypatch.setattr(os, "fsync", look)
    write_whole("--json", str(file), "new" * 10_000)
    assert seen == ["old"]
    assert file.read_text(encoding="utf-8") == "new" * 10_000
    assert list(tmp_path.iterdir()) == [file]


def test_what_cannot_be_written_is_refused_and_nothing_left(tmp_path: Path) -> None:
    check_writable("--json", None)
    check_writable("--json", str(tmp_path / "c.json"))
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(UsageError, match="it is a folder"):
        check_writable("--json", str(tmp_path))
    with pytest.raises(UsageError, match="cannot be written"):
        check_writable("--json", str(tmp_path / "none/c.json"))
