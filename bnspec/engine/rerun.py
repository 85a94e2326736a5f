"""One case again, by its address, in this process."""

from __future__ import annotations

from bnspec.cases.case import parse_address
from bnspec.conformance.compare import Judgement
from bnspec.engine.judging import experiments, judge_case
from bnspec.engine.plan import Request, UsageError, make_plan, refuse_unknown
from bnspec.engine.subject import Subject


def rerun_case(subject: Subject, request: Request, address: str) -> dict[str, Judgement]:
    """What each clause says to the case of an address, as a failure prints it: device, then case.

    Raises UsageError for an address of no experiment or an unknown device, AddressError for what is no address.
    """
    device, _, rest = address.partition("/")
    case = parse_address(rest)
    if case.experiment not in experiments():
        raise refuse_unknown("experiment", case.experiment, experiments())
    if device not in subject.implementation.devices():
        raise UsageError(
            f"the case ran on {device!r}, and the target runs on {', '.join(subject.implementation.devices())} here"
        )
    return judge_case(subject, case, device, make_plan(subject, request).clauses)
