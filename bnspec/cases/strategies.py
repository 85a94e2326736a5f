"""Hypothesis strategies: which cases are drawn. Built, never filtered; simple things first, so that they shrink well.

Shapes come from a small palette that differs by block (so that a subject that compiles per shape meets few of them, and
blocks enumerate sizes and coincidences which random draws seldom meet), or are drawn small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from bnspec.cases.case import Case
from bnspec.cases.drawing import pick, whole
from bnspec.cases.histories import draw_acts
from bnspec.layers.promises import EPS, MOMENTA

FILL_WEIGHTS = {
    "spread": 5,
    "integers": 2,
    "offset": 1,
    "constant": 1,
    "late": 2,
    "early": 1,
    "outlier": 1,
    "tiny": 1,
    "scales": 1,
    "steps": 1,
    "vast": 1,
}
UPSTREAM = ("drawn", "drawn", "drawn", "drawn", "last", "last", "tiny", "huge")
LAYOUTS = (
    "contiguous",
    "contiguous",
    "contiguous",
    "transposed",
    "channels_last",
    "strided",
    "sliced",
    "channels_last",
    "channels_last_sliced",
    "offset",
    "read_only",
    "expanded",
    "expanded_positions",
    "prefix",
)
PARAMETERS = (*["drawn"] * 9, "trivial", "zero", "dead")

SIZES = (
    2,
    3,
    31,
    33,
    65,
    257,
    5,
    67,
    127,
    63,
    129,
    32,
    35,
    64,
    255,
    128,
    100,
    256,
    511,
    513,
    512,
    1025,
    1023,
    1024,
    1027,
)
"""Numbers of values per channel around the block sizes of kernels, and remainders against them."""
WIDTHS = (65, 33, 129, 17, 257, 32, 31, 64, 5, 127)
"""Numbers of channels around the same."""
SEVERAL = ("history", "cumulative")
"""The experiments of several training batches."""
ANY_PARAMETERS = ("training", "evaluation", "gradients")
"""The experiments that are told something by parameters and buffers of every kind."""
BOTH_MODES = ("gradients", "jacobian", "switch", "second_order", "forward_mode")
"""The experiments that differentiate training and evaluation alike."""
FRESH = ("initial", "first")
"""The experiments that leave a layer as its constructor made it."""
LIVES = ("random_history",)
"""The experiments that put a layer through acts."""


@dataclass(frozen=True)
class Scope:
    """Within what cases are drawn: what the subject promises, less what was left out.

    `epsilons` and `momenta` are those that can be chosen, one where it is fixed; `abilities` say which acts a history
    may have.
    """

    ranks: tuple[int, ...]
    epsilons: tuple[float, ...] = EPS
    momenta: tuple[float | None, ...] = MOMENTA
    channels: int | None = None
    evaluation: bool = True
    abilities: frozenset[str] = frozenset()


def palette(scope: Scope, block: int, longest: int) -> list[tuple[int, ...]]:
    """Shapes of a block: two for each rank, sizes and widths in turn, and the coincidences N = C, D1 = C, N = 1."""
    random = np.random.RandomState(block)
    shapes: list[tuple[int, ...]] = []
    for rank in scope.ranks:
        for _ in range(2):
            n, c, *rest = (int(v) for v in random.randint(2, [9, 7, *([5] * (rank - 2))]))
            shapes.append((n, c, *rest))
    sizes = [size for size in SIZES if size <= longest]
    for turn in range(3):
        size, rank = sizes[(3 * block + turn) % len(sizes)], scope.ranks[(block + turn) % len(scope.ranks)]
        shapes.append(_hold(size, rank, 1 + turn % 2, turn == 1))
    for turn, rank in enumerate(scope.ranks):
        shapes.append((4, 4, *[3] * (rank - 2)) if (block + turn) % 2 else (3, 4, *[4] * (rank - 2)))
        if rank > 2:
            shapes.append((1, 3, *[2 + (block + i) % 3 for i in range(rank - 2)]))
    width = WIDTHS[block % len(WIDTHS)]
    for channels, rank in ((1, scope.ranks[0]), (width, scope.ranks[-1])):
        shapes.append((3, channels, *[2] * (rank - 2)))
    return _fix_channels(shapes, scope)


def _fix_channels(shapes: list[tuple[int, ...]], scope: Scope) -> list[tuple[int, ...]]:
    """The shapes with the number of channels that the scope asks for, each once."""
    if scope.channels is not None:
        shapes = [(shape[0], scope.channels, *shape[2:]) for shape in shapes]
    return list(dict.fromkeys(shapes))


def tiny_palette(scope: Scope) -> list[tuple[int, ...]]:
    """Shapes of two to six values a channel, along the batch, along the last axis and along both."""
    shapes = [
        _hold(n, rank, channels, True) if along == 1 or rank == 2 else (n, channels, *[1] * (rank - 3), along)
        for rank in scope.ranks
        for n, along, channels in ((2, 1, 3), (3, 2, 2), (5, 1, 4), (1 if rank > 2 else 2, 4, 3), (2, 3, 1), (4, 1, 3))
    ]
    return _fix_channels(shapes, scope)


def _hold(size: int, rank: int, channels: int, in_batch: bool) -> tuple[int, ...]:
    """A shape with `size` values per channel: along the batch, or along the last axis with a batch of one."""
    ones = [1] * (rank - 2)
    if rank == 2 or in_batch:
        return (size, channels, *ones)
    return (1, channels, *ones[1:], size)


def draw_shapes(scope: Scope, shapes: list[tuple[int, ...]]) -> st.SearchStrategy[tuple[int, ...]]:
    """A shape of the palette, or one time in four a small one of m from 2 and C to 3.

    The small one is drawn in any case: what is drawn afterwards stays in place where the shape shrinks from the one to
    the other.
    """
    small: list[tuple[int, ...]] = [()] * max(1, len(shapes) // 3)
    return _shapes((*small, *shapes), scope)


@st.composite
def _shapes(draw: st.DrawFn, shapes: tuple[tuple[int, ...], ...], scope: Scope) -> tuple[int, ...]:
    chosen = draw(pick(shapes))
    rank = draw(pick(scope.ranks))
    n, c = draw(whole(2, 4)), draw(whole(1, 3))
    positions = [draw(whole(1, 3)) for _ in range(max(scope.ranks) - 2)]
    return chosen or (n, scope.channels or c, *positions[: rank - 2])


def draw_cases(
    experiment: str, dtype: str, scope: Scope, block: int, *, longest: int = 1100
) -> st.SearchStrategy[Case]:
    """The cases of one block of an experiment."""
    few = longest <= 6
    shapes = pick(tuple(tiny_palette(scope))) if few else draw_shapes(scope, palette(scope, block, longest))
    return _cases(experiment, dtype, scope, block, shapes)


_FILLS = tuple(name for name, weight in FILL_WEIGHTS.items() for _ in range(weight))


@st.composite
def _cases(
    draw: st.DrawFn, experiment: str, dtype: str, scope: Scope, block: int, shapes: st.SearchStrategy[tuple[int, ...]]
) -> Case:
    """One strategy for all: Hypothesis reads the source of each function that is made one."""
    momenta = (None,) if experiment == "cumulative" else scope.momenta
    modes = (True, True, False) if scope.evaluation else (True,)
    shape = draw(shapes)
    return Case(
        experiment,
        dtype,
        shape,
        eps=draw(pick(scope.epsilons)) if len(scope.epsilons) > 1 else scope.epsilons[0],
        momentum=draw(pick(momenta)),
        fill=draw(pick(_FILLS)),
        upstream="whole" if experiment == "gradients" else draw(pick(UPSTREAM)),
        layout=draw(pick(LAYOUTS)),
        upstream_layout=draw(pick(LAYOUTS)),
        training=draw(pick(modes)) if experiment in BOTH_MODES else True,
        fresh=experiment in FRESH,
        steps=draw(pick((2, 3, 3, 5, 8, 13, 4, 64))) if experiment in SEVERAL else 1,
        seed=draw(whole(0, 2**16)),
        values=_draw_values(draw, int(np.prod(shape))),
        parameters=draw(pick(PARAMETERS)) if experiment in ANY_PARAMETERS else "drawn",
        acts=draw(draw_acts(scope.abilities, block, max(scope.ranks) > 2)) if experiment in LIVES else (),
    )


def _draw_values(draw: st.DrawFn, size: int) -> tuple[int, ...]:
    """Small batches are, one time in four, drawn entry by entry."""
    if size > 12 or not draw(pick((False, False, False, True))):
        return ()
    return tuple(draw(pick((0, 1, -1, 2, -2, 3, -3))) for _ in range(size))
