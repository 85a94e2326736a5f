"""A user's own test function, once a clause: `@bnspec.parametrize_with_checks(MyBatchNorm)`.

After scikit-learn's decorator of the same name, so that those who know it need nothing new.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bnspec import plugin
from bnspec.api import name_of
from bnspec.engine.plan import DEFAULT_PROFILE, Request, UsageError, check_request
from bnspec.layers.target import TargetError
from bnspec.plugin_items import Assignment, judge
from bnspec.settings import Order
from bnspec.spec.clauses import SPEC_VERSION
from bnspec.waivers import waive

Test = TypeVar("Test", bound=Callable[..., Any])


@dataclass(frozen=True)
class Check:
    """What a test calls: one clause of one target, or the verdict on it."""

    assignment: Assignment
    name: str

    def __call__(self) -> None:
        """Raise pytest's failure, skip or expected failure as the clause came out; return where it passed."""
        __tracebackhide__ = True
        try:
            _ = self.assignment.plan
        except (TargetError, UsageError) as error:
            refusal = str(error)
        else:
            judge(self.assignment, self.name)
            return
        pytest.fail(f"bnspec: {refusal}", pytrace=False)

    def __repr__(self) -> str:
        return f"<{self.name} of {self.assignment.order.target}>"


def parametrize_with_checks(
    obj: Any,
    *,
    dialect: str | None = None,
    profile: str = DEFAULT_PROFILE,
    seed: int = 0,
    arguments: Mapping[str, Any] | None = None,
    devices: Collection[str] = (),
    dtypes: Collection[str] = (),
    without: Collection[str] = (),
    clauses: Collection[str] = (),
    strict: bool = False,
    isolate: bool = False,
    spec: str | None = None,
    waivers: str | Path | None = None,
    target: str | None = None,
) -> Callable[[Test], Test]:
    """Give a test function the argument `check`, once for each clause, by its id, and once for the verdict.

    The function calls `check()`. What is judged, and the arguments, are those of `bnspec.certify`; all clauses together
    act each case once. A SHOULD that is missed and decides nothing is an expected failure, what does not apply is
    skipped. Raises UsageError for a name that exists in no table; what is wrong with the target fails the tests.
    """
    request = check_request(Request(
        dialect, profile, seed, tuple(devices), tuple(dtypes), tuple(without), tuple(clauses), strict,
        spec=spec or SPEC_VERSION,
    ))  # fmt: skip
    name = target or (obj if isinstance(obj, str) else name_of(obj))
    _asked[name] += 1  # two classes of a test file may have one name; workers ask in the same order
    request = waive(request, name, None if waivers is None else Path(waivers))
    order = Order(name, request, dict(arguments or {}), isolate)
    key = repr((name, _asked[name], order))
    assignment = Assignment(order, _find_folder(), key, None if isinstance(obj, str) else obj)
    checks = [pytest.param(Check(assignment, item), id=item) for item in assignment.items]
    return pytest.mark.parametrize("check", checks)


_asked: Counter[str] = Counter()
"""How often a target of a name was asked for in this process."""


def _find_folder() -> Path:
    """Where the session keeps what was judged, which it removes at its end."""
    if not plugin.BLOCKS:
        raise UsageError("the plugin of bnspec is not loaded: run the tests by pytest, without -p no:bnspec")
    return plugin.BLOCKS[-1]
