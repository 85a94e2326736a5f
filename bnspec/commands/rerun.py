"""One case of a target again, in this process."""

from __future__ import annotations

from bnspec.settings import Order


def rerun(order: Order, address: str) -> int:
    """Print what each clause says to a case. Exit 1 if one fails; there is no verdict."""
    from bnspec.api import make_subject
    from bnspec.certificate.merge import describe_ratio
    from bnspec.engine.rerun import rerun_case
    from bnspec.layers.target import load_target

    subject, _ = make_subject(load_target(order.target).obj, order.request, order.arguments, order.target)
    failed = False
    for clause, judged in rerun_case(subject, order.request, address).items():
        failed |= judged.failed
        word = "FAIL" if judged.failed else "nothing to compare" if judged.ratio is None else "pass"
        print(f"{clause:4} {word}  {describe_ratio(judged.ratio)} bounds")
        if judged.failed:
            where = f" at {judged.where}" if judged.where else ""
            print(f"     {judged.quantity}: got {judged.got}, wanted {judged.wanted}{where}")
    return int(failed)
