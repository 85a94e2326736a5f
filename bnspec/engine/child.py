"""Work in a child process: however it ends, the end is an answer too."""

from __future__ import annotations

import faulthandler
import multiprocessing
import os
import signal
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any

Send = Callable[[Any], None]
Work = Callable[[Send], None]
"""What a child does: it hands over answers as it goes."""


@dataclass(frozen=True)
class Ending:
    """How a child came to its end before it was done; `words` go on after "it"."""

    words: str
    timed_out: bool = False


DONE = Ending("was done")
"""What a child says last."""


def can_fork() -> bool:
    """Can a child start as a copy of this process, which takes milliseconds and needs nothing to be loaded again?"""
    return "fork" in multiprocessing.get_all_start_methods() and sys.platform != "darwin"


class Child:
    """A process at work. By fork it may do anything; without, `work` is sent to a fresh one and must pickle."""

    def __init__(self, work: Work, *, fork: bool) -> None:
        context: Any = multiprocessing.get_context("fork" if fork else "spawn")
        self._receiver, sender = context.Pipe(duplex=False)
        # No daemon, which could have no child of its own; `stop` ends it, and its children with it.
        self._process = context.Process(target=_enter, args=(work, sender))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of forks beside threads: the child uses none of them
            self._process.start()
        sender.close()  # so that the end of the child is the end of the pipe

    def receive(self, limit_s: float) -> Any:
        """The next answer; DONE after the last, another Ending where none came within the limit. It is then over."""
        try:
            answer = self._receiver.recv() if self._receiver.poll(limit_s) else None
        except (EOFError, OSError):
            self._process.join(limit_s)
            answer = Ending(_tell_exit(self._process.exitcode))
        if answer is None:
            answer = Ending(f"did not return within {limit_s:g} s", timed_out=True)
        if isinstance(answer, Ending):
            self.stop()
        return answer

    def stop(self) -> None:
        """End the child, whatever it does."""
        if not _inside[0] and self._process.pid is not None and hasattr(os, "killpg"):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._receiver.close()


_inside = [False]
"""Is this process a child? Children of children belong to the group of their parent, and end with it."""


def _enter(work: Work, sender: Connection) -> None:
    """Silence the standard streams, which a subject may flood, and work."""
    if not _inside[0] and hasattr(os, "setpgrp"):
        os.setpgrp()
    _inside[0] = True
    faulthandler.disable()  # how a child dies is told in one line
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silence, stream)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's matter
    work(sender.send)
    sender.send(DONE)
    with suppress(OSError):
        sender.close()


def _tell_exit(code: int | None) -> str:
    if code is None:
        return "closed its pipe and went on"
    if code < 0:
        with suppress(ValueError):
            return f"died by {signal.Signals(-code).name}"
        return f"died by signal {-code}"
    return f"left Python with exit code {code}"


def run_once(work: Callable[[], Any], limit_s: float) -> Any:
    """The result of a function that a forked child calls, or the Ending that it came to."""
    child = Child(lambda send: send((work(),)), fork=True)
    answer = child.receive(limit_s)
    if isinstance(answer, Ending):
        return answer
    child.stop()
    return answer[0]
