"""Hypothesis as its CI profile sets it, on every machine: no deadline, no database, the same draws each time."""

from __future__ import annotations

from hypothesis import settings

from bnspec.engine.threads import prefer_one_thread

settings.load_profile("ci")
prefer_one_thread()  # before any test imports a framework

pytest_plugins = ["pytester"]
