"""Certificates as files: refused early where they cannot be written, and never half written."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from bnspec.engine.plan import UsageError


def check_writable(option: str, file: str | None) -> None:
    """Refuse an output file that cannot be written, before anything runs; nothing is left behind. Raises UsageError."""
    if file is not None:
        half = _half(file)
        _try_to_write(option, file, half, "")
        half.unlink()


def check_folder(option: str, folder: str | None) -> None:
    """Make the folder where there is none, and refuse one that cannot be written to. Raises UsageError."""
    if folder is None:
        return
    try:
        Path(folder).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"{option} {folder}: cannot be made ({error.strerror}); name a folder that can") from None
    check_writable(option, str(Path(folder) / "script.py"))


def write_whole(option: str, file: str, text: str) -> None:
    """Write beside the file, then put it in its place: who reads it finds a whole one, the old or the new.

    Raises UsageError where that fails.
    """
    half = _half(file)
    _try_to_write(option, file, half, text)
    half.replace(file)


def _half(file: str) -> Path:
    """A name that no other run has, of whatever machine that shares the folder."""
    return Path(f"{file}.{os.urandom(6).hex()}.part")


def _try_to_write(option: str, file: str, half: Path, text: str) -> None:
    if Path(file).is_dir():
        raise UsageError(f"{option} {file}: cannot be written (it is a folder); name a file in it")
    try:
        with half.open("w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())  # else its new name could outlast a loss of power, and its content not
    except OSError as error:
        with suppress(OSError):
            half.unlink()
        raise UsageError(
            f"{option} {file}: cannot be written ({error.strerror}); name a file in a folder that can"
        ) from None
