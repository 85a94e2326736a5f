"""Which histories are drawn: lists of acts, each where it is possible, as in a state machine."""

from __future__ import annotations

from functools import cache

from hypothesis import strategies as st

from bnspec.cases.acts import ACTS, keep_possible
from bnspec.cases.drawing import pick

EXAMPLES = (3, 2, 4, 5, 7, 33)
"""Of a batch in a history; where a channel has several positions, one is drawn too."""
LONGEST = 12
"""Most acts of each of the three parts of a history: lists are drawn short, and shrink from any place."""


@cache
def draw_acts(abilities: frozenset[str], block: int, positions: bool) -> st.SearchStrategy[tuple[str, ...]]:
    """Histories of the acts that a subject offers; they shrink act by act, to a training batch of three."""
    sizes = (*EXAMPLES, 1) if positions else EXAMPLES
    words = tuple(
        f"{act.name}{size if act.is_sized else ''}"
        for act in ACTS.values()
        if act.first <= block and set(act.needs) <= abilities
        for size in (sizes if act.is_sized else (0,) * len(sizes))
        for _ in range(act.weight)
    )
    part = st.lists(pick(words), max_size=LONGEST)
    return st.tuples(part, part, part).map(lambda parts: keep_possible([*parts[0], *parts[1], *parts[2]], abilities))
