"""Trying a subject out on plain batches, to learn what it offers. Whatever it raises is an answer here."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, cast

import numpy as np

from bnspec.layers.protocol import ALL, NONE, Array, Copies, Grad, Layer, Structure, SubjectError, as_dtype
from bnspec.layers.target import TargetError

RANKS = (2, 3, 4, 5)
MODES = ((True, "training"), (False, "evaluation"))

FRAMEWORKS = ("torch", "numpy", "bnspec", "ml_dtypes")
"""What raises in these was not meant as a refusal."""
Make = Callable[[Structure], Layer]


@dataclass(frozen=True)
class Outcome:
    """What came of a call: the dtype of y where an array came, whether anything was returned, and else the error.

    `grown` where y has more axes than x.
    """

    dtype: str | None = None
    returned: bool = False
    error: SubjectError | None = None
    grown: bool = False


def plain_batch(structure: Structure) -> Array:
    """A benign batch whose axes all differ in length, so that none broadcasts or passes for another by accident."""
    lengths = [n for n in (4, 5, 2, 6, 7) if n != structure.channels]
    shape = (lengths[0], structure.channels, *lengths[1 : structure.rank - 1])
    values: Array = np.sin(np.arange(np.prod(shape)) * 1.7).reshape(shape)
    return values.astype(as_dtype(structure.storage))


def try_call(make: Make, structure: Structure, *, training: bool, times: int = 1, grad: Grad = NONE) -> Outcome:
    """Make a layer and call it on a plain batch, with its backward where a gradient is asked for."""
    try:
        layer, batch = make(structure), plain_batch(structure)
        for _ in range(times):
            passed = layer.run(batch, training=training, grad=grad)
            y = passed.y
        if grad != NONE:
            passed.backward(batch)
    except SubjectError as error:
        # What was raised is the cause; a reason without a cause is about what came back, so something did.
        return Outcome(None, error.stage == "forward" and error.__cause__ is None, error)
    except SystemExit as error:
        return Outcome(None, False, SubjectError("forward", f"raised SystemExit: {error.code}"))
    return Outcome(str(y.dtype), True, grown=y.ndim > batch.ndim)


def probe_ranks(make: Make, base: Structure) -> tuple[tuple[int, ...], str]:
    """The ranks of which a batch is answered by an array: in training or, where none is, in evaluation; and what became
    of others, in words.

    A layer whose parameters have the axes of one rank, (1, C, 1, 1) say, gives more axes to a batch of a lower one, by
    accident: such a rank is offered only where every answer is like that.
    """
    for training, _ in MODES:
        tried = {rank: try_call(make, replace(base, rank=rank), training=training) for rank in RANKS}
        answered = {rank: outcome for rank, outcome in tried.items() if outcome.dtype is not None}
        if answered:
            ranks = tuple(rank for rank, outcome in answered.items() if not outcome.grown) or tuple(answered)
            return ranks, _tell_refusals({rank: outcome for rank, outcome in tried.items() if rank not in ranks})
    return (), ""


def _tell_refusals(tried: Mapping[int, Outcome]) -> str:
    """Of what ranks a batch raised what, those of one kind of error together, with the first one's message."""
    kinds: dict[str, tuple[str, list[str]]] = {}
    for rank, outcome in tried.items():
        reason = "gave y more axes than x" if outcome.error is None else outcome.error.reason
        kinds.setdefault(reason.partition(":")[0], (reason, []))[1].append(str(rank))
    return "; ".join(f"rank {', '.join(ranks)} {reason}" for reason, ranks in kinds.values())


def tell_moved(make: Make, base: Structure, ranks: tuple[int, ...]) -> str:
    """Of what other ranks a batch with the channel on the last axis returns, and leaves buffers of one a channel."""
    others = [rank for rank in RANKS if rank not in ranks and mixes_ranks(make, replace(base, rank=rank), (rank, rank))]
    if not others:
        return ""
    listed = ", ".join(map(str, others))
    return f"with the channel on the last axis rank {listed} returns: declare bnspec_channels_last = True"


def probe_dtypes(make: Make, base: Structure, dtypes: tuple[str, ...], abilities: frozenset[str]) -> list[str]:
    """The dtypes in which a batch comes back as it went in, from both modes and with a backward as far as offered."""
    modes = (True, False) if "evaluation" in abilities else (True,)
    grad = ALL if "gradients" in abilities else NONE

    def serves(dtype: str) -> bool:
        structure = replace(base, dtype=dtype)
        return all(try_call(make, structure, training=t, grad=grad).dtype == structure.storage for t in modes)

    return [dtype for dtype in dtypes if serves(dtype)]


def tell_clear_refusal(make: Make, structure: Structure) -> str:
    """What the subject's own code, and not the framework that it calls, raises of a structure; "" where it does not."""
    error = try_call(make, structure, training=True).error
    cause = None if error is None else error.__cause__
    if error is None or not isinstance(cause, TypeError | ValueError | NotImplementedError | AssertionError):
        return ""
    frame = cause.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    raised_in = "" if frame is None else str(frame.tb_frame.f_globals.get("__name__", ""))
    return "" if raised_in.partition(".")[0] in FRAMEWORKS else error.reason


def answers(make: Make, structure: Structure) -> bool:
    """Does a call in training return an array?"""
    return try_call(make, structure, training=True).dtype is not None


def has_alone(parameter: Literal["gamma", "beta"], make: Make, structure: Structure) -> bool:
    """Has a layer gamma and no beta, or the other way round, and does a call in training return an array?"""
    try:
        state = make(structure).state()
    except SubjectError:
        return False
    there = {name for name in ("gamma", "beta") if getattr(state, name) is not None}
    return there == {parameter} and answers(make, structure)


def mixes_ranks(make: Make, structure: Structure, ranks: tuple[int, int]) -> bool:
    """Does one layer answer a batch of either rank after one of the other, and leave its buffers as many values?

    Layers may shape their buffers by the first batch they see, and are then of one rank each.
    """
    for order in (ranks, ranks[::-1]):
        try:
            layer = make(structure)
            for rank in order:
                _ = layer.run(plain_batch(replace(structure, rank=rank)), training=True).y
            state = layer.state()
        except SubjectError:
            return False
        if any(b is not None and b.size != structure.channels for b in (state.running_mean, state.running_var)):
            return False
    return True


def can_copy(make: Make, structure: Structure) -> bool:
    """Can a layer that has trained be copied? Where its buffers hold a graph, that it cannot is a finding."""
    try:
        layer = make(structure)
        layer.run(plain_batch(structure), training=True, grad=ALL)
        held = [layer.describe(which) for which in ("running_mean", "running_var")]
    except SubjectError:
        return True  # the cases will tell
    try:
        cast(Copies, layer).copy()
    except SubjectError:
        return any(buffer is not None and buffer.holds_graph for buffer in held)
    return True


def find_call(make: Make, structures: Iterable[Structure], tell: Callable[[Structure], str]) -> Structure:
    """The first structure for which a call returns anything, right or wrong. Raises TargetError where none does.

    `tell` says how a layer of a structure is made.
    """
    first = ""
    for structure in structures:
        for training, mode in MODES:
            outcome = try_call(make, structure, training=training)
            if outcome.returned:
                return structure
            assert outcome.error is not None  # nothing was returned, so something was raised
            first = first or _explain(structure, mode, outcome.error, tell(structure))
    raise TargetError(first)


def _explain(structure: Structure, mode: str, error: SubjectError, told: str) -> str:
    if error.stage == "construction":
        return f"{told} cannot be called: it {error.reason}; give the arguments that it needs, --arg NAME=VALUE"
    shape = plain_batch(structure).shape
    return (
        f"{told} cannot be called: with a {structure.dtype} batch of shape {shape} in {mode} it {error.reason}, and no"
        " other rank, dtype or mode went better; one call with a batch (N, C, ...) alone must return"
    )
