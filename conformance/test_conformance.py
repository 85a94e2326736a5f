"""The suite as pytest collects it: `pytest conformance --bn TARGET`. The plugin fills in the items, one a clause."""

from __future__ import annotations


def test_clause(bn_clause: object) -> None:
    """One clause of the specification, for one target."""


def test_verdict(bn_verdict: object) -> None:
    """The verdict on one target."""
