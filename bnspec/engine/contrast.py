"""What a failure depends on: one decision of its case is made plain at a time, and the case is judged again."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import replace

from bnspec.cases.case import Case, parse_address
from bnspec.engine.judging import Finding, experiments, judge_case
from bnspec.engine.subject import Subject
from bnspec.spec.clauses import CLAUSES
from bnspec.spec.formats import PRECISIONS

BUDGET = 80
"""Most cases that are judged again for one finding, each with `DRAWS` draws of its values."""
DRAWS = 3
"""Any change of a case draws other values, so that one draw may pass by chance."""
BLOCKS = (2, 4, 8, 16, 32, 64, 128, 256, 1024)
"""Sizes that kernels work in."""
TOLD = 3
"""Most conditions that one sentence holds."""

Fails = Callable[[Case], bool | None]
"""Does a case fail with some values of a few, or pass with all? None where one says nothing, or cannot be judged."""


def tell_conditions(subject: Subject, finding: Finding) -> str | None:
    """Where the layer is right, one decision apart from a case that fails; None where it is wrong all around."""
    own = parse_address(finding.case)
    if not experiments()[own.experiment].cases:
        return None  # what enumerates has nothing to vary
    fails = _judge_within_budget(subject, finding)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if _passes_again(subject, finding, own):
            return "it comes and goes: the same case, run again, passes"
        if not fails(own):
            return None
        conditions = [words for words in _find_conditions(subject, own, fails) if words]
    return f"it is right {'; right '.join(conditions[:TOLD])}" if conditions else None


def _judge_within_budget(subject: Subject, finding: Finding) -> Fails:
    known: dict[str, bool | None] = {}
    own = parse_address(finding.case)
    longest = max(2 * experiments()[own.experiment].longest, 4 * own.count)  # some act once for each of the values

    def fails(case: Case) -> bool | None:
        address = case.address()
        if address not in known:
            if len(known) >= BUDGET or len(case.shape) not in subject.promises.ranks or not 2 <= case.count <= longest:
                return None
            draws = [replace(case, seed=case.seed + draw) for draw in range(DRAWS)]
            outcomes = {_judge(subject, draw, finding) for draw in draws}
            known[address] = True if True in outcomes else None if None in outcomes else False
        return known[address]

    return fails


def _judge(subject: Subject, case: Case, finding: Finding) -> bool | None:
    judgement = judge_case(subject, case, finding.device, (finding.clause,)).get(finding.clause)
    return judgement.failed if judgement and judgement.ratio is not None and judgement.informative else None


def _passes_again(subject: Subject, finding: Finding, own: Case) -> bool:
    return _judge(subject, own, finding) is False


def _find_conditions(subject: Subject, own: Case, fails: Fails) -> Iterator[str | None]:
    yield from _make_plain(subject, own, fails)
    yield _compare_dtypes(subject, own, fails)
    yield _compare_ranks(subject, own, fails)
    if not subject.promises.channels:
        yield _compare_sizes(own, 1, "C", fails)
    flat = replace(own, shape=(own.count, own.channels, *[1] * (len(own.shape) - 2)), values=())
    words = _compare_sizes(flat, 0, "m", fails) if fails(flat) else None
    yield words
    if words is None and len(own.shape) > 2:
        for axis in (0, *range(2, len(own.shape))):
            yield _compare_sizes(own, axis, f"D{axis - 1}" if axis else "N", fails)


def _make_plain(subject: Subject, own: Case, fails: Fails) -> Iterator[str]:
    """Layouts, fills, constants and counts, each against its plainest."""
    upstream = "whole" if own.upstream == "whole" else "drawn"
    plain: list[tuple[str, object, str]] = [
        ("layout", "contiguous", "where x is contiguous instead of {}"),
        ("upstream_layout", "contiguous", "where dy is contiguous instead of {}"),
        ("setting", "plain", "in a plain process instead of under {!r}"),
        ("steps", 1, "after one batch instead of {}"),
        ("fill", "spread", "where values are spread instead of of the kind {!r}"),
        ("upstream", upstream, "where dy is drawn instead of of the kind {!r}"),
    ]
    if subject.promises.pick_eps(1e-5) == 1e-5:
        plain.append(("eps", 1e-5, "where eps is 1e-5 instead of {}"))
    if subject.may_weigh(0.1) and own.momentum is not None:
        plain.append(("momentum", 0.1, "where momentum is 0.1 instead of {}"))
    for name, value, words in plain:
        given = getattr(own, name)
        if given != value and fails(replace(own, **{name: value})) is False:  # type: ignore[arg-type]  # field names
            yield words.format(given)
    if own.values and fails(replace(own, values=())) is False:
        yield "where values are drawn instead of small whole numbers"


def _compare_dtypes(subject: Subject, own: Case, fails: Fails) -> str | None:
    """In which other precisions the case passes: of low ones, whose bounds hide more, none is asked."""
    acts_in = experiments()[own.experiment].acts_in
    others = [d for d in subject.promises.dtypes if d != own.dtype and not PRECISIONS[d].is_low and acts_in(d)]
    right = [dtype for dtype in others if fails(replace(own, dtype=dtype)) is False]
    return f"in {' and '.join(right)} instead of {own.dtype}" if right else None


def _compare_ranks(subject: Subject, own: Case, fails: Fails) -> str | None:
    """The same N, C and m, where it can be, at the other ranks."""
    n, c, m = own.shape[0], own.shape[1], own.count
    right = []
    for rank in subject.promises.ranks:
        if rank == len(own.shape):
            continue
        shape = (m, c) if rank == 2 else (n, c, *[1] * (rank - 3), m // n) if m > n else (n, c, *[1] * (rank - 3), 2)
        if fails(replace(own, shape=shape, values=())) is False:
            right.append(rank)
    wrong = [rank for rank in subject.promises.ranks if rank not in (*right, len(own.shape))]
    if not right or (wrong and len(right) < 2):
        return None
    return f"at rank {' and '.join(map(str, right))} instead of {len(own.shape)}"


def _compare_sizes(own: Case, axis: int, name: str, fails: Fails) -> str | None:
    """Which lengths of an axis are right: multiples, all but one, or those up to a limit."""
    size = own.shape[axis]

    def wrong(length: int) -> bool | None:
        shape = (*own.shape[:axis], length, *own.shape[axis + 1 :])
        return fails(replace(own, shape=shape, values=()))

    found = None
    if size > 1 and wrong(size + 1) is False and wrong(size - 1) is False and wrong(2 * size + 1) is False:
        found = "anything else"
    elif size > 2:
        found = _find_block(size, wrong) or _find_limit(size, 2 if axis == 0 else 1, wrong)
    return f"where {name} is {found} instead of {size}" if found else None


def _find_block(size: int, wrong: Callable[[int], bool | None]) -> str | None:
    """The smallest block of which multiples are right, and nothing else."""
    for block in BLOCKS:
        up = math.ceil(size / block) * block
        if up != size and wrong(up) is False and wrong(up + block) is False and wrong(up + size % block):
            return f"a multiple of {block}"
    return None


def _find_limit(size: int, low: int, wrong: Callable[[int], bool | None]) -> str | None:
    """The largest length up to which all that are tried are right."""
    if wrong(low) is not False or wrong(low + 1) is not False:
        return None
    high = size
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if wrong(middle) else (middle, high)
    return f"at most {low}"


def is_worth_telling(clause: str) -> bool:
    """What is compared within a bound or bit by bit in many cases; not how bad input is met, nor what is measured."""
    return CLAUSES[clause].family != "B" and CLAUSES[clause].level != "GRADE"
