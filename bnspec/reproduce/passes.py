"""Passes of a trace that give wrong numbers: what a failure shows itself by that is formed of many of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from bnspec.cases.case import Case
from bnspec.cases.layouts import channel_major
from bnspec.engine.subject import Subject
from bnspec.layers.protocol import State, Structure
from bnspec.reproduce.steps import STATE, Step

if TYPE_CHECKING:
    from bnspec.conformance.compare import Judgement
    from bnspec.conformance.expected import ExpectedPass

FAMILIES = {"G": ("dx", "dgamma", "dbeta"), "R": ("running_mean", "running_var"), "S": ("running_mean", "running_var")}
"""What the clauses of a family are about, where that is not y."""


@dataclass(frozen=True)
class Wrong:
    """A number that is off: `found` by the last of `steps`."""

    steps: list[Step]
    found: str
    judged: Judgement


def find_wrong(subject: Subject, case: Case, steps: list[Step], family: str) -> list[Wrong]:
    """What is off by the clauses on single passes, F1, E1, R2, G1 and G2; what the family is about comes first."""
    first = FAMILIES.get(family, ("y",))
    with np.errstate(all="ignore"):
        return sorted(_Passes(subject, case).judge(steps), key=lambda wrong: wrong.found not in first)


class _Passes:
    """Goes through a trace with what each layer was made as, and what each forward was to give."""

    def __init__(self, subject: Subject, case: Case) -> None:
        self.subject, self.case = subject, case
        self.structures: dict[int, Structure] = {}
        self.expected: dict[int, ExpectedPass] = {}
        self.inputs: dict[int, Any] = {}

    def judge(self, steps: list[Step]) -> Iterator[Wrong]:
        for number, step in enumerate(steps):
            if step.raised:
                continue
            judge: Callable[[Step], Iterable[tuple[str, Judgement]]] | None = getattr(self, f"_{step.verb}", None)
            for found, judged in () if judge is None else judge(step):
                if judged.failed and judged.evidence is not None:
                    read = [Step("read", step.layer)] if found in STATE else []
                    yield Wrong([*steps[: number + 1], *read], found, judged)

    def _make(self, step: Step) -> Iterable[tuple[str, Judgement]]:
        self.structures[step.layer] = step.given["structure"]
        return ()

    def _copy(self, step: Step) -> Iterable[tuple[str, Judgement]]:
        self.structures[step.layer] = self.structures[step.given["of"]]
        return ()

    _travel = _copy

    def _retune(self, step: Step) -> Iterable[tuple[str, Judgement]]:
        changes = {"eps": step.given["eps"], "momentum": step.given["momentum"]}
        self.structures[step.layer] = replace(self.structures[step.layer], **changes)
        return ()

    def _convert(self, step: Step) -> Iterable[tuple[str, Judgement]]:
        self.structures[step.layer] = replace(self.structures[step.layer], dtype=step.given["dtype"])
        return ()

    def _forward(self, step: Step) -> Iterator[tuple[str, Judgement]]:
        from bnspec.conformance.acting import Stage
        from bnspec.conformance.compare import compare
        from bnspec.conformance.expected import begin_buffers, expect_evaluation, expect_training, update_buffers

        structure, before, after = self.structures[step.layer], step.given["before"], step.given["after"]
        x = step.given["x"] if step.given["x"] is not None else self.inputs.get(step.given["again"])
        self.inputs[step.forward] = x
        if x is None or before is None or not _fits(before, structure.channels, x) or step.found["y"].shape != x.shape:
            return
        terms = Stage(self.subject, replace(self.case, dtype=structure.dtype), structure.device).terms
        training = step.given["training"] or before.running_mean is None
        expected = (expect_training if training else expect_evaluation)(terms, x, before, structure.eps)
        self.expected[step.forward] = expected
        y = channel_major(step.found["y"])
        yield "y", compare("y", y, expected.forward.y, expected.e_y, terms.arithmetic)
        if not step.given["training"] or before.running_mean is None or after is None:
            return
        if before.batches is None and (structure.momentum is None or terms.dialect.average != "plain"):
            return  # how much the batch weighs cannot be told
        buffers = update_buffers(begin_buffers(terms, before), expected, structure.momentum, before.batches or 0)
        for name, exact, bound in (
            ("running_mean", buffers.mean, buffers.e_mean),
            ("running_var", buffers.var, buffers.e_var),
        ):
            observed = getattr(after, name)
            if observed is not None and observed.size == structure.channels:
                yield name, compare(name, observed.reshape(-1), exact, bound, terms.arithmetic, axes=("channel",))

    def _backward(self, step: Step) -> Iterator[tuple[str, Judgement]]:
        from bnspec.conformance.compare import compare

        expected = self.expected.get(step.forward)
        if expected is None:
            return
        exact, bound = expected.differentiate(step.given["dy"])
        for name, value, limit in (
            ("dx", exact.x, bound.x),
            ("dgamma", exact.gamma, bound.gamma),
            ("dbeta", exact.beta, bound.beta),
        ):
            observed = step.found.get(name)
            if observed is not None and observed.size == limit.size:
                flat = channel_major(observed) if name == "dx" else observed.reshape(-1)
                yield name, compare(name, flat, value, limit, expected.terms.arithmetic)


def _fits(state: State, channels: int, x: Any) -> bool:
    """Can a pass be expected of this state and this batch?"""
    arrays = [array for array in (getattr(state, name) for name in STATE) if array is not None]
    usable = all(array.size == channels and np.isfinite(array.astype(np.float64)).all() for array in arrays)
    return usable and x.ndim > 1 and x.shape[1] == channels and x.size > channels and x.dtype.kind not in "iuc"
