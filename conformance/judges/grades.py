"""Clauses N1 and N8: what is measured, and what of it a declaration is held to."""

from __future__ import annotations

import math
from dataclasses import replace

from bnspec.layers.promises import REPEATS
from bnspec.spec.measure import Measure
from bnspec.spec.stability import HELD, LETTERS, grade

from ..compare import Judgement, compare_bits, worst_of
from ..experiments.repeats import Bits, RepeatsRecord
from ..experiments.sweep import SweepRecord


def judge_n1(record: SweepRecord) -> Judgement:
    """The class of the variance's algorithm, as the running variance, y and dx show it."""
    case, declared = record.stage.case, record.stage.subject.promises.algorithm
    held = HELD.get(declared or "", {})
    unit = case.precision.storage.unit_roundoff
    grades = {name: grade(record.kappa, error, unit) for name, error in record.errors.items()}
    laid_out = () if case.layout == "contiguous" else (case.layout.replace("_", " "),)
    measures = {name: Measure(found.worth, found.describe(*laid_out)) for name, found in grades.items()}
    for name, found in grades.items():
        if name in held and LETTERS.index(found.letter) < LETTERS.index(held[name]):
            slope = () if found.slope is None else (f"slope {found.slope:.1f}",)
            return Judgement(
                math.inf, True, f"class of the variance that {name} shows", found.describe(*slope, *laid_out),
                f"{held[name]}, as bnspec_algorithm = {declared!r} declares", measures=measures,
            )  # fmt: skip
    return Judgement(0.0 if held else None, True, "class of the variance", measures=measures)


def judge_n8(record: RepeatsRecord) -> Judgement:
    """Which changes keep every bit; those that the target declares must."""
    declared = record.stage.subject.promises.reproducible
    checks = {change: _compare_all(record.first, several, change) for change, several in record.again.items()}
    measures = {
        change: Measure((0.0,), "differs") if check.failed else Measure((1.0,), "kept")
        for change, check in checks.items()
    }
    held = [check for change, check in checks.items() if change in declared]
    return replace(worst_of(*held) if held else Judgement(None, True), measures=measures)


def _compare_all(first: Bits, several: tuple[Bits, ...], change: str) -> Judgement:
    """The first array that is not what it was."""
    for again in several:
        for name, bits in again.items():
            check = compare_bits(f"{name} under {REPEATS[change]}", bits, first[name])
            if check.failed:
                return check
    return Judgement(0.0, True, change)
