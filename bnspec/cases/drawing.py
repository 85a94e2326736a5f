"""Draws that do not depend on what else is imported."""

from __future__ import annotations

from functools import cache
from typing import TypeVar

from hypothesis import strategies as st

T = TypeVar("T")

_FAR = 3 * 10**15 + 7 * 10**9
"""Hypothesis mixes in integers that it finds in the source of local modules, where they lie within the bounds: cases
would depend on what else is imported. None lies out here, and as a product this one is not found either."""


@cache
def whole(low: int, high: int) -> st.SearchStrategy[int]:
    """Integers from low to high, whatever is imported; they shrink to low."""
    return st.integers(_FAR, _FAR + high - low).map(lambda drawn: drawn - _FAR + low)


@cache
def pick(options: tuple[T, ...]) -> st.SearchStrategy[T]:
    """One of several, whatever is imported; they shrink to the first."""
    return whole(0, len(options) - 1).map(lambda place: options[place])
