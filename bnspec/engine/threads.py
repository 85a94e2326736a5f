"""Threads of the frameworks' own pools."""

from __future__ import annotations

import os

VARIABLE = "OMP_NUM_THREADS"


def prefer_one_thread() -> None:
    """Ask for one thread, unless the user asks for another number: on small batches more threads only wait.

    Works before a framework is imported. The number in force stands in the certificate's environment.
    """
    os.environ.setdefault(VARIABLE, "1")
