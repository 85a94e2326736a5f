"""Hypothesis strategies: which cases are drawn. Built, never filtered; simple things first, so that they shrink well.

Shapes come from a small palette that differs by block (so that a subject that compiles per shape meets few of them, and
blocks enumerate sizes and coincidences which random draws seldom meet), or are drawn small.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from hypothesis import strategies as st

from bnspec.cases.case import Case

EPS = (1e-5, 1e-3, 1e-2, 0.1, 1.0)
MOMENTA = (0.3, 0.7, 0.05, 0.9, 0.1, 0.0, 1.0)
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
}
UPSTREAM = ("drawn", "drawn", "drawn", "last")
LAYOUTS = ("contiguous", "contiguous", "contiguous", "transposed", "channels_last", "strided", "sliced")

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


@dataclass(frozen=True)
class Scope:
    """Within what cases are drawn: what the subject promises, less what was left out."""

    ranks: tuple[int, ...]
    eps: float | None = None
    momentum: float | None = None
    channels: int | None = None
    cumulative: bool = False
    evaluation: bool = True


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
    if scope.channels is not None:
        shapes = [(shape[0], scope.channels, *shape[2:]) for shape in shapes]
    return list(dict.fromkeys(shapes))


def _hold(size: int, rank: int, channels: int, in_batch: bool) -> tuple[int, ...]:
    """A shape with `size` values per channel: along the batch, or along the last axis with a batch of one."""
    ones = [1] * (rank - 2)
    if rank == 2 or in_batch:
        return (size, channels, *ones)
    return (1, channels, *ones[1:], size)


def small_shapes(scope: Scope) -> st.SearchStrategy[tuple[int, ...]]:
    """Drawn shapes, for counter-examples that can be read: m from 2, C to 3."""
    channels = st.integers(1, 3) if scope.channels is None else st.just(scope.channels)

    def shape(rank: int) -> st.SearchStrategy[tuple[int, ...]]:
        return st.tuples(st.integers(2, 4), channels, *[st.integers(1, 3)] * (rank - 2))

    return st.sampled_from(scope.ranks).flatmap(shape)


def draw_cases(
    experiment: str, dtype: str, scope: Scope, block: int, *, longest: int = 1100
) -> st.SearchStrategy[Case]:
    """The cases of one block of an experiment."""
    momenta: tuple[float | None, ...] = MOMENTA if scope.momentum is None else (scope.momentum,)
    if experiment == "history" and scope.cumulative:
        momenta = (None, *momenta, None)
    fills = tuple(name for name, weight in FILL_WEIGHTS.items() for _ in range(weight))
    modes = st.sampled_from((True, True, False) if scope.evaluation else (True,))
    shapes = st.one_of(small_shapes(scope), *[st.sampled_from(palette(scope, block, longest))] * 3)

    @st.composite
    def cases(draw: st.DrawFn) -> Case:
        shape = draw(shapes)
        count = int(np.prod(shape)) // shape[1]
        return Case(
            experiment,
            dtype,
            shape,
            eps=draw(st.sampled_from(EPS)) if scope.eps is None else scope.eps,
            momentum=draw(st.sampled_from(momenta)),
            fill=draw(st.sampled_from(fills)),
            upstream="whole" if experiment == "gradients" else draw(st.sampled_from(UPSTREAM)),
            layout=draw(st.sampled_from(LAYOUTS)),
            upstream_layout=draw(st.sampled_from(LAYOUTS)),
            training=draw(modes) if experiment == "gradients" else True,
            fresh=experiment == "initial",
            steps=draw(st.sampled_from((2, 3, 3, 5, 8, 13, 64))) if experiment == "history" else 1,
            seed=draw(st.integers(0, 2**16)),
            values=draw(_values(count * shape[1])),
        )

    return cases()


def _values(size: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Small batches are, one time in four, drawn entry by entry."""
    if size > 12:
        return st.just(())
    written = st.lists(st.integers(-3, 3), min_size=size, max_size=size).map(tuple)
    return st.one_of(st.just(()), st.just(()), st.just(()), written)
