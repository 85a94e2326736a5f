"""What an experiment is: an act, its judges, and how many cases of which kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from bnspec.cases.case import Case
from bnspec.spec.formats import PRECISIONS

from .acting import Stage
from .compare import Judgement

FEW = 5
"""Fewer drawn cases than these add nothing to a first block that has literal ones."""


@dataclass(frozen=True)
class Experiment:
    """An act and the judges of its record, by clause; `needs` are the abilities without which it cannot be acted.

    `cases` is the number of drawn cases in a block, `longest` the most values a channel holds, and `literal` the cases
    chosen by hand that come first in block 0; with `cases` 0 it has no other, or enumerates, one case a rank.
    `low_cases` and `low_literal` stand for them in low precision, where an experiment without any is not acted. `first`
    is the first block that acts it, and `modules` are those of extras without which it cannot be acted. `alike` where
    it asks the same of float32 and of float64, and a short profile is content with one.
    """

    name: str
    act: Callable[[Stage], Any]
    judges: Mapping[str, Callable[[Any], Judgement]]
    needs: tuple[str, ...] = ()
    cases: int = 18
    longest: int = 1100
    literal: tuple[Case, ...] = ()
    low_cases: int = 0
    low_literal: tuple[Case, ...] = ()
    first: int = 0
    modules: tuple[str, ...] = ()
    alike: bool = False

    @property
    def absent(self) -> tuple[str, ...]:
        """The modules that it needs and that are not installed."""
        return tuple(module for module in self.modules if find_spec(module) is None)

    def acts_in(self, dtype: str) -> bool:
        """Is the experiment acted in this precision?"""
        return self.low_cases > 0 or not PRECISIONS[dtype].is_low

    def literals(self, dtype: str) -> tuple[Case, ...]:
        """The cases chosen by hand, in a precision."""
        return self.low_literal if PRECISIONS[dtype].is_low else self.literal

    def draws(self, dtype: str, block: int) -> int:
        """The number of cases drawn in a block, in a precision.

        Half as many where literal ones come first, and none there where they would be few.
        """
        cases = self.low_cases if PRECISIONS[dtype].is_low else self.cases
        if block or not self.literals(dtype):
            return cases
        return cases // 2 if cases >= FEW else 0
