"""Hypothesis as its CI profile sets it, on every machine: no deadline, no database, the same draws each time."""

from __future__ import annotations

from hypothesis import settings

settings.load_profile("ci")

pytest_plugins = ["pytester"]
