"""S7: what a layer changes outside of itself."""

from __future__ import annotations

from ..compare import Judgement, differs
from ..experiments.surroundings import SurroundingsRecord


def judge_s7(record: SurroundingsRecord) -> Judgement:
    """Nothing of the process is changed."""
    return differs("what the layer changed of its process", " and ".join(record.changes) or "nothing", "nothing")
