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
    device, slash, rest = address.partition("/")
    case = parse_address(rest if slash else address)
    if case.experiment not in experiments():
        raise refuse_unknown("experiment", case.experiment, experiments())
    judges = experiments()[case.experiment].judges
    unfed = [clause for clause in request.clauses if clause not in judges]
    if unfed:
        raise UsageError(f"a case of {case.experiment!r} says nothing on {unfed[0]}: it feeds {', '.join(judges)}")
    ranks = subject.promises.ranks
    if len(case.shape) not in ranks or case.count < 2:
        wanted = f"of rank {' or '.join(map(str, ranks))}, with two values a channel or more"
        raise UsageError(f"the shape {'x'.join(map(str, case.shape))} is none that the target is judged on: {wanted}")
    settings = {"plain", *subject.implementation.framework.settings}
    if case.setting not in settings:
        raise refuse_unknown("setting", case.setting, settings)
    if device not in subject.implementation.devices():
        raise UsageError(
            f"the case ran on {device!r}, and the target runs on {', '.join(subject.implementation.devices())} here"
        )
    return judge_case(subject, case, device, make_plan(subject, request).clauses)
