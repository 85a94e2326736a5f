"""Why a subject fails: another dialect, or a known mistake. Words beside a verdict, which never change it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import import_module
from typing import Any

from bnspec.cases.case import Case, parse_address
from bnspec.engine.judging import Finding, experiments, judge_case
from bnspec.engine.subject import Subject
from bnspec.layers.protocol import SubjectError
from bnspec.spec.clauses import CLAUSES
from bnspec.spec.dialects import DIALECTS, FIELDS, Dialect, is_frozen

FIELDS_THAT_SHOW = ("training_statistics", "normalises_with", "stores", "momentum_weighs", "average", "constants")
"""The fields of a dialect on which a training pass depends."""
TELLING = {2: (67,), 3: (5, 7), 4: (5, 3, 3), 5: (5, 3, 1, 3)}
"""N, D1, ... of a telling batch by its rank: of no power of two is m a multiple, so that a lost tail shows."""
QUANTITIES = ("running_var", "running_mean", "dgamma", "dbeta", "dx", "y")


@dataclass(frozen=True)
class Explanation:
    """`dialect` holds at most one sentence; `mistakes` one clause by clause."""

    dialect: tuple[str, ...] = ()
    mistakes: dict[str, str] = field(default_factory=dict)


def explain(subject: Subject, findings: Mapping[str, Finding]) -> Explanation:
    """Compare what failed with other dialects, then with known mistakes."""
    numbers = {clause: f for clause, f in findings.items() if math.isfinite(f.ratio)}
    if not numbers:
        return Explanation()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        # What fails a SHOULD may do so under every dialect, and would then hide the one that explains the rest.
        sentence = _find_dialect(subject, {c: f for c, f in numbers.items() if CLAUSES[c].level == "MUST"})
        find_mistake = _watch_for_mistakes(subject)
        mistakes = {clause: words for clause, f in numbers.items() if (words := find_mistake(f)) is not None}
    return Explanation(() if sentence is None else (sentence,), mistakes)


def _find_dialect(subject: Subject, findings: Mapping[str, Finding]) -> str | None:
    """A sentence, if there are findings and one other combination of conventions makes all of them disappear."""
    if not findings:
        return None
    own = subject.dialect
    combinations: dict[tuple[object, ...], list[Dialect]] = {}
    for dialect in DIALECTS.values():
        values = tuple(getattr(dialect, name) for name in FIELDS_THAT_SHOW)
        kept = dialect.training_statistics == "batch" and dialect.stores != "nothing"
        if kept or (is_frozen(dialect) and subject.offers("running_statistics")):
            combinations.setdefault(values, []).append(dialect)
    combinations.pop(tuple(getattr(own, name) for name in FIELDS_THAT_SHOW), None)

    def changed(values: tuple[object, ...]) -> list[str]:
        return [name for name, value in zip(FIELDS_THAT_SHOW, values, strict=True) if value != getattr(own, name)]

    for values in sorted(combinations, key=lambda v: len(changed(v))):
        other = replace(subject, dialect=combinations[values][0])
        if _agree(other, findings.values()):
            fields = changed(values)
            words = " and ".join(
                f"`{name}` ({FIELDS[name]}) is {value!r} instead of {getattr(own, name)!r}"
                for name, value in zip(FIELDS_THAT_SHOW, values, strict=True)
                if name in fields
            )
            names = [dialect.name for dialect in combinations[values]]
            return (
                f"it follows another dialect than {own.name}: {words}, as in {', '.join(names[:3])};"
                f" if that is meant, certify it with --dialect {names[0]}"
            )
    return None


def _agree(subject: Subject, findings: Iterable[Finding]) -> bool:
    """Are all findings gone that the subject's dialect can speak of, and is there one?"""
    spoken = False
    for finding in findings:
        agrees = _agrees(subject, finding)
        if agrees is False:
            return False
        spoken = spoken or agrees is True
    return spoken


def _agrees(subject: Subject, finding: Finding) -> bool | None:
    """Is the finding gone under the subject's dialect? None where the clause then has nothing to speak of."""
    case = parse_address(finding.case)
    if not subject.offers(*CLAUSES[finding.clause].needs, *experiments()[case.experiment].needs):
        return None
    judged = judge_case(subject, case, finding.device, (finding.clause,)).get(finding.clause)
    return None if judged is None or judged.ratio is None else not judged.failed


def _watch_for_mistakes(subject: Subject) -> Callable[[Finding], str | None]:
    """Finds the known mistake behind a finding, in a telling pass, or else in one of the finding's own shape.

    Findings have passes in common, and each is acted out once.
    """
    recogniser, acting = (import_module(f"bnspec.conformance.{name}") for name in ("recognise", "acting"))

    @cache
    def observe(case: Case, device: str) -> Any:
        try:
            return recogniser.observe(acting.Stage(subject, case, device))
        except SubjectError:
            return None

    @cache
    def recognise(case: Case, device: str, quantity: str) -> str | None:
        record = observe(case, device)
        try:
            words: str | None = None if record is None else recogniser.recognise(record, quantity)
        except SubjectError:
            return None
        return words

    def find(finding: Finding) -> str | None:
        cases = _telling_cases(subject, parse_address(finding.case), finding.clause)
        told = (recognise(case, finding.device, name_quantity(finding)) for case in cases)
        return next(filter(None, told), None)

    return find


def name_quantity(finding: Finding) -> str:
    """The quantity of one pass that a finding is about; where it is about none, the one that its family is about."""
    own = next((q for q in QUANTITIES if finding.quantity.startswith(q)), None)
    return own or {"R": "running_var", "G": "dx"}.get(CLAUSES[finding.clause].family, "y")


def _telling_cases(subject: Subject, own: Case, clause: str) -> list[Case]:
    """A pass of an ordinary batch, and one of the finding's own; evaluations where the clause is about these."""
    rank = max(subject.promises.ranks)
    channels = subject.promises.channels or 3
    shape = (*TELLING[rank][:1], channels, *TELLING[rank][1:])
    telling = Case("training", own.dtype, shape, own.eps, own.momentum, seed=1)
    telling = replace(telling, eps=subject.promises.pick_eps(0.1))
    if subject.may_weigh(0.3) and own.momentum is not None:
        telling = replace(telling, momentum=0.3)
    cases = [telling, replace(own, experiment="training", training=True, steps=1)]
    if subject.offers("evaluation", "running_statistics"):
        evaluations = [replace(case, experiment="evaluation") for case in cases]
        cases = evaluations + cases if CLAUSES[clause].family == "E" or not own.training else cases + evaluations
    return cases
