"""The suite as pytest collects it: `pytest conformance --bn TARGET`. The plugin fills in the items, one a clause."""

from __future__ import annotations


def test_batch_norm(bn_item: object) -> None:
    """One clause of the specification, or the verdict, for one target."""
