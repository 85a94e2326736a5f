"""Cases chosen by hand: what random draws seldom meet, at every rank, so that no layer of one rank is short of it."""

from __future__ import annotations

from typing import Any

from bnspec.cases.case import Case


def every_rank(experiment: str, **decisions: Any) -> tuple[Case, ...]:
    """A readable case, remainders against the usual block sizes with the information in the tail, and coincidences."""
    rows = (
        ((2, 2), "integers", "drawn"),
        ((67, 2), "late", "last"),
        ((1, 3, 35), "late", "drawn"),
        ((4, 4), "spread", "drawn"),
        ((3, 3, 3), "spread", "drawn"),
        ((5, 3, 2, 4), "spread", "drawn"),
        ((2, 2, 3, 2, 2), "spread", "last"),
        ((1027, 1), "late", "last"),
        ((3, 65), "spread", "drawn"),
        ((2, 37, 3), "spread", "drawn"),
        ((3, 35, 2, 3), "spread", "drawn"),
        ((67, 2, 1, 1), "late", "last"),
        ((4, 4, 4, 4), "spread", "drawn"),
        ((3, 4, 2, 3, 2), "spread", "drawn"),
        ((2, 34, 2, 2, 1), "spread", "drawn"),
        ((67, 2, 1, 1, 1), "late", "last"),
        ((3, 3, 3, 3, 3), "spread", "drawn"),
        ((1, 2, 3, 2, 3), "spread", "drawn"),
    )
    return tuple(
        Case(experiment, "float32", shape, 0.1, 0.3, fill, combinable(experiment, upstream), **decisions)
        for shape, fill, upstream in rows
    )


def combinable(experiment: str, upstream: str) -> str:
    """The kind of upstream gradient, of which sums are exact where the experiment forms them."""
    return "whole" if experiment == "gradients" and upstream == "drawn" else upstream


def as_in_networks(experiment: str) -> tuple[Case, ...]:
    """Many examples with many positions, many channels with many values, constant ones, and the channel innermost."""
    plain = ((35, 2, 35), (3, 131, 40), (67, 3, 5, 7), (4, 131, 7, 7), (19, 3, 3, 5, 7), (2, 67, 3, 5, 5), (515, 65),
             (3, 1027), (3, 1027, 2), (3, 1027, 1, 1), (2, 1027, 2, 1, 1))  # fmt: skip
    innermost = ((4, 3, 9, 9), (9, 65, 6, 6), (2, 3, 5, 5, 7), (3, 33, 4, 3, 5))
    cases = [Case(experiment, "float32", shape, 1e-5, 0.3, "outlier", seed=3) for shape in plain]
    held = ((9, 8), (3, 8, 3), (3, 8, 2, 2), (2, 8, 3, 2, 1))
    cases += [Case(experiment, "float32", shape, 1e-5, 0.3, "constant", seed=5) for shape in held]
    for shape in innermost:
        for fill, upstream in (("late", "last"), ("spread", "drawn")):
            last = "channels_last"
            cases.append(Case(experiment, "float32", shape, 1e-3, 0.3, fill, upstream, last, last))
    cases += [Case(experiment, "float32", shape, 1e-3, 0.3, layout="channels_last") for shape in innermost[::2]]
    return tuple(cases)


def in_low_precision(experiment: str, **decisions: Any) -> tuple[Case, ...]:
    """A plain case of every rank and one with an eps that half precision lacks, a tail, channels last, and counts at
    which sums in half precision stop."""
    rows = (
        ((5, 3), 0.1, "spread", "drawn", "contiguous"),
        ((5, 3, 4), 0.1, "spread", "drawn", "contiguous"),
        ((3, 2, 2, 4), 0.1, "spread", "drawn", "channels_last"),
        ((2, 3, 2, 2, 3), 0.1, "spread", "drawn", "contiguous"),
        ((6, 3), 1e-8, "spread", "drawn", "contiguous"),
        ((3, 3, 4), 1e-8, "spread", "drawn", "contiguous"),
        ((3, 3, 2, 3), 1e-8, "spread", "drawn", "contiguous"),
        ((2, 3, 2, 3, 2), 1e-8, "spread", "drawn", "contiguous"),
        ((67, 2), 0.1, "late", "last", "contiguous"),
        ((1, 2, 67), 0.1, "late", "last", "contiguous"),
        ((67, 2, 1, 1), 0.1, "late", "last", "contiguous"),
        ((67, 2, 1, 1, 1), 0.1, "late", "last", "contiguous"),
        ((2, 3, 2, 3, 2), 0.1, "spread", "drawn", "channels_last"),
    )
    return tuple(
        Case(experiment, "float32", shape, eps, 0.3, fill, combinable(experiment, upstream), layout, **decisions)
        for shape, eps, fill, upstream, layout in rows
    )


def every_layout() -> tuple[Case, ...]:
    """Every layout of x at every rank, under which dy has another."""
    shapes = ((5, 3), (4, 3, 5), (3, 2, 4, 5), (2, 3, 3, 2, 4))
    names = ("transposed", "strided", "sliced", "offset", "prefix", "read_only", "expanded", "expanded_positions",
             "expanded_batch", "channels_last_sliced", "channels_last", "channels_last")  # fmt: skip
    return tuple(
        Case("training", "float32", shape, 0.1, 0.3, layout=x, upstream_layout=dy, seed=seed)
        for shape in shapes
        for seed, (x, dy) in enumerate(zip(names, ("contiguous", *names[:-2], "channels_last"), strict=True))
        if len(shape) > 2 or not any(name.startswith("channels_last") for name in (x, dy))
    )


def two_a_rank(experiment: str) -> tuple[Case, ...]:
    """Two a rank: one begins with a count of 0, one with another."""
    shapes = ((3, 2), (4, 3), (2, 3, 2), (3, 2, 4), (2, 3, 2, 2), (3, 2, 1, 3), (2, 3, 2, 1, 2), (3, 2, 1, 2, 2))
    return tuple(Case(experiment, "float32", shape, 0.1, 0.3, seed=seed) for seed, shape in enumerate(shapes))


_LIVES = (
    """train3 evaluate2 keep4 keep2 answer_both write_parameters evaluate3 copy train5 restore evaluate2 retune train3
    evaluate4 keep3 copy answer_last train2 convert train2 evaluate3 reset train2 refuse train4 evaluate3""",
    """keep3 evaluate2 switch_to_evaluation answer_first train_unrecorded4 again write_buffers keep_evaluation3
    answer_last train_frozen3 write_parameters train_frozen2 restore_nothing restore_parameters train3 travel evaluate4
    average train3 train2 switch_to_training evaluate_unrecorded7
    restore_older train5 copy copy train3 evaluate2""",
)
"""Every act that is not recomputation, at least once."""


def lives(experiment: str) -> tuple[Case, ...]:
    """Two histories a rank, with counts of 0 and of another number before them."""
    shapes = ((3, 2), (4, 3), (2, 3, 2), (3, 2, 4), (2, 3, 2, 2), (3, 2, 1, 3), (2, 3, 2, 1, 2), (3, 2, 1, 2, 2))
    return tuple(
        Case(experiment, "float32", shape, 0.1, 0.3, seed=seed, acts=tuple(_LIVES[seed % 2].split()))
        for seed, shape in enumerate(shapes)
    )


def few_of_every_rank(experiment: str) -> tuple[Case, ...]:
    """Few channels and few values: three or more of each rank."""
    more = ((4, 3), (3, 2, 4), (3, 2, 3, 2), (2, 3, 2, 4), (4, 2, 1, 3), (3, 2, 2, 1, 3), (2, 3, 2, 2, 2))
    chosen = (case for case in every_rank(experiment) if case.channels <= 4 and 2 < case.count <= 40)
    return (*chosen, *(Case(experiment, "float32", shape, 0.1, 0.3, seed=2) for shape in more))


def small(experiment: str, **decisions: Any) -> tuple[Case, ...]:
    """A small case or two a rank, with batches of one where there are positions."""
    shapes = ((4, 3), (3, 1), (1, 2, 3), (3, 2, 2), (2, 3, 2, 2), (1, 2, 2, 2), (2, 3, 2, 1, 2), (1, 2, 2, 2, 2))
    return tuple(Case(experiment, "float32", shape, 0.1, 0.3, **decisions) for shape in shapes)


def for_derivatives(experiment: str) -> tuple[Case, ...]:
    """In both modes at every rank: a few values; two of them, which leave nothing to the derivatives but eps; and
    images with the channel innermost."""
    shapes = ((5, 3), (2, 3), (3, 2, 4), (2, 3, 2, 3), (2, 3, 2, 1, 3))
    plain = [Case(experiment, "float32", shape, 0.1, 0.3, training=t) for shape in shapes for t in (True, False)]
    last = [Case(experiment, "float32", shape, 0.01, 0.3, layout="channels_last", upstream_layout="channels_last")
            for shape in ((3, 3, 2, 3), (2, 3, 2, 1, 3))]  # fmt: skip
    return (*plain, *last)


def round_sizes(experiment: str) -> tuple[Case, ...]:
    """Lengths that fast paths take: images of powers of two in batches, many examples, many planes, wide rows."""
    plain = ((2, 3, 32, 32), (3, 2, 16, 16), (70, 2, 8, 8), (3, 256), (3, 2304), (3, 2, 300), (67, 2, 64),
             (2, 2, 10, 4, 4), (1030, 2, 2), (1030, 2, 2, 1), (34, 3, 7, 7), (33, 2, 4, 4, 4),
             (40, 2, 3, 3, 3))  # fmt: skip
    heavy = ((3, 520, 4, 4), (8, 16, 24, 24), (1100, 16))
    innermost = ((5, 64, 15, 15), (2, 32, 4, 9, 9))
    cases = [Case(experiment, "float32", shape, 1e-3, 0.3, "spread", seed=1) for shape in (*plain, *heavy)]
    last = "channels_last"
    cases += [Case(experiment, "float32", shape, 1e-3, 0.3, "spread", layout=last, seed=1) for shape in innermost]
    return tuple(cases)


def kinds_of_parameters(experiment: str, *kinds: str) -> tuple[Case, ...]:
    """The kinds of parameters and buffers that are named (`bnspec.cases.fills.PARAMETERS`), at every rank."""
    shapes = ((4, 3), (3, 2, 4), (2, 3, 2, 3), (2, 2, 2, 3, 2))
    return tuple(Case(experiment, "float32", shape, 0.1, 0.3, parameters=kind) for shape in shapes for kind in kinds)


def on_threads(experiment: str) -> tuple[Case, ...]:
    """On three threads: fewer and more examples than these, and so many values that frameworks share them out.

    Means are far from zero, where a share that is lost or counted twice shows in each of them.
    """
    shapes = ((2, 3), (13, 3), (40009, 3), (2, 3, 5), (5, 3, 7), (5, 3, 7001), (7, 3, 2, 3), (5, 3, 71, 97),
              (2, 3, 2, 1, 3), (5, 3, 7, 31, 33))  # fmt: skip
    return tuple(Case(experiment, "float32", shape, 0.1, 0.3, "offset", setting="three_threads") for shape in shapes)
