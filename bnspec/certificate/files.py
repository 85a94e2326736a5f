"""Certificates as files: refused early where they cannot be written, and never half written."""

from __future__ import annotations

import os
from pathlib import Path

from bnspec.engine.plan import UsageError


def check_writable(option: str, file: str | None) -> None:
    """Refuse an output file that cannot be written, before anything runs; nothing is left behind. Raises UsageError."""
    if file is not None:
        half = _half(file)
        _try_to_write(option, file, half, "")
        half.unlink()


def write_whole(option: str, file: str, text: str) -> None:
    """Write beside the file, then put it in its place. Raises UsageError where that fails."""
    half = _half(file)
    _try_to_write(option, file, half, text)
    half.replace(file)


def _half(file: str) -> Path:
    return Path(f"{file}.{os.getpid()}.part")


def _try_to_write(option: str, file: str, half: Path, text: str) -> None:
    if Path(file).is_dir():
        raise UsageError(f"{option} {file}: cannot be written (it is a folder); name a file in it")
    try:
        half.write_text(text, encoding="utf-8")
    except OSError as error:
        half.unlink(missing_ok=True)
        raise UsageError(
            f"{option} {file}: cannot be written ({error.strerror}); name a file in a folder that can"
        ) from None
