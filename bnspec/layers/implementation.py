"""What makes the layers under test, and how it is found: by the shape of what the target is, never by its name."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from typing import Any

from bnspec.adapters import adapt
from bnspec.layers.adapter import Framework
from bnspec.layers.probing import (
    RANKS,
    answers,
    can_copy,
    find_call,
    has_alone,
    mixes_ranks,
    probe_dtypes,
    probe_ranks,
    tell_clear_refusal,
    tell_moved,
    try_call,
)
from bnspec.layers.promises import Promises
from bnspec.layers.protocol import Layer, Structure, calling
from bnspec.layers.signatures import is_batch_norm
from bnspec.layers.surroundings import preserving
from bnspec.layers.target import TargetError
from bnspec.layers.trials import limit_settings
from bnspec.spec.formats import PRECISIONS


@dataclass(frozen=True)
class Implementation:
    """What a target resolves to. `dialect_source` is "the target" or "the adapter", "" where neither has one.

    `versions`, `forks`, `compiles` and `channel_axis` are as declared (`bnspec.layers.declarations`); `defaults` of eps
    and momentum are those of the signature, where it has any; `understood` says how a function is called, and which
    channels and ranks the target refused when it was tried out; `ready_made` is true of an instance, which may have
    trained already.
    """

    name: str
    dialect: str | None
    dialect_source: str
    promises: Promises
    maker: Callable[[Structure], Layer]
    framework: Framework
    versions: Mapping[str, str] = field(default_factory=dict)
    forks: bool = True
    compiles: bool = False
    channel_axis: int | None = None
    defaults: Mapping[str, float | None] = field(default_factory=dict)
    understood: str = ""
    ready_made: bool = False

    def make(self, structure: Structure) -> Layer:
        """A new layer. Raises SubjectError of stage construction."""
        with calling("construction"):
            return self.maker(structure)

    def devices(self) -> list[str]:
        """The devices of this machine that are of a promised kind: "cpu", "cuda:0", ..."""
        return [device for device in self.framework.devices() if device.partition(":")[0] in self.promises.devices]

    def environment(self) -> dict[str, str]:
        """Versions of the framework, threads and names of devices."""
        return {**self.framework.environment(), **self.versions}


@dataclass(frozen=True)
class Unproven:
    """What a probe may add to the promises. Where no ranks are promised, they are probed too.

    `moved` makes layers that are handed their batches with the channel on the last axis: other ranks may return then.
    """

    dtypes: tuple[str, ...] = ()
    cumulative: bool = False
    untracked: bool = False
    moved: Callable[[Structure], Layer] | None = None


def resolve(
    obj: Any, arguments: Mapping[str, Any] | None = None, without: frozenset[str] = frozenset()
) -> Implementation:
    """Find out how to make layers with a target and what it promises; probe what nobody declares.

    `arguments` go to the constructor and fix what they set; `without` names abilities that are left out. Raises
    TargetError where the target has no known shape, a declaration is wrong, or no call at all returns.
    """
    obj = adapt(obj)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a subject may warn while it is tried out; its cases will show it again
        if not inspect.isclass(obj) and is_batch_norm(obj):
            from bnspec.layers.functions import resolve_function

            return resolve_function(obj, dict(arguments or {}), without)
        from bnspec.layers.objects import resolve_object

        return resolve_object(obj, dict(arguments or {}), without)


def complete(
    draft: Implementation, base: Structure, unproven: Unproven, tell: Callable[[Structure], str]
) -> Implementation:
    """Check that some call returns, and add what probes find. `tell` says how a layer is made. Raises TargetError."""
    with preserving(draft.framework):
        draft.framework.write_globals(draft.framework.settings.get("plain", {}))
        return _complete(draft, base, unproven, tell)


def _complete(
    draft: Implementation, base: Structure, unproven: Unproven, tell: Callable[[Structure], str]
) -> Implementation:
    promises, make = draft.promises, draft.make
    devices = draft.devices()
    if not devices:
        raise TargetError(f"{draft.name} declares the devices {promises.devices}: this machine has none of them")
    # Unproven dtypes come last: a layer that takes none of the promised ones may be of another alone.
    places = devices[:2], promises.ranks or RANKS
    choices = [*product(*places, promises.dtypes), *product(*places, unproven.dtypes)]
    called = find_call(make, [replace(base, device=d, rank=r, dtype=t) for d, r, t in choices], tell)
    probed, refused = probe_ranks(make, called) if not promises.ranks else ((), "")
    ranks = promises.ranks or probed or (called.rank,)
    called = replace(called, rank=ranks[0])
    dtypes = probe_dtypes(make, called, unproven.dtypes, promises.abilities)
    abilities = promises.abilities
    if "copies" in abilities and not can_copy(make, called):
        abilities -= {"copies"}
    # A subclass inherits a parameter and may not heed it, and other layers may mean something else by it.
    lacking: dict[str, tuple[str, Structure, Callable[[Structure], bool]]] = {
        "unscaled": ("gamma and beta", replace(called, affine=False), lambda s: answers(make, s)),
        "unshifted": ("beta", replace(called, shifted=False), lambda s: has_alone("gamma", make, s)),
        "beta_alone": ("gamma", replace(called, scaled=False), lambda s: has_alone("beta", make, s)),
    }
    dropped = []
    for ability, (what, structure, serves) in lacking.items():
        if ability in abilities and not serves(structure):
            abilities -= {ability}
            error = try_call(make, structure, training=True).error
            dropped += [] if error is None else [f"not without {what}: it {error.reason}"]
    kept = [
        d
        for d in (promises.dtypes if called.dtype in promises.dtypes else (called.dtype,))
        if d == called.dtype or not (unproven.dtypes and tell_clear_refusal(make, replace(called, dtype=d)))
    ]
    if unproven.cumulative and try_call(make, replace(called, momentum=None), training=True, times=2).dtype:
        abilities |= {"cumulative"}
    if unproven.untracked and answers(make, replace(called, tracked=False)):
        abilities |= {"untracked"}
    if "untracked" in abilities and unproven.untracked and _evaluates(draft, replace(called, tracked=False)):
        abilities |= {"untracked_evaluation"}
    promises, limits = _limit_calls(draft, replace(promises, abilities=abilities), called)
    abilities = promises.abilities
    promises = replace(
        promises,
        ranks=ranks,
        dtypes=tuple(d for d in PRECISIONS if d in (*kept, *dtypes)),
        abilities=abilities,
        mixes_ranks=len(ranks) > 1 and mixes_ranks(make, called, (ranks[0], ranks[-1])),
    )
    words = [draft.understood, *limits, *dropped, f"without other ranks: {refused}" if refused else ""]
    if refused and unproven.moved is not None:
        words.append(tell_moved(unproven.moved, called, ranks))
    return replace(draft, promises=promises, understood="; ".join(filter(None, words)))


def _limit_calls(draft: Implementation, promises: Promises, called: Structure) -> tuple[Promises, list[str]]:
    """The promises less the eps and momenta that the target's own code turns down when it is called."""
    if draft.compiles:
        return promises, []  # each would be compiled anew
    free = {"eps": promises.eps is None, "momentum": promises.momentum == "free"}
    kept = {name: getattr(called, name) for name, is_free in free.items() if is_free}

    def refuse(setting: str, value: float) -> str:
        structure = replace(called, **{setting: value})  # type: ignore[arg-type]  # by the name of a number
        reason = tell_clear_refusal(draft.make, structure)
        return reason and f"at {setting} {value} a training call {reason}"

    return limit_settings(promises, refuse, kept)


def _evaluates(draft: Implementation, structure: Structure) -> bool:
    """Does an evaluation return an array? Of a layer without running statistics it may end the process."""
    from bnspec.engine.isolation import find_ending

    def evaluate() -> bool:
        return try_call(draft.make, structure, training=False).dtype is not None

    return (not draft.forks or find_ending(evaluate) is None) and evaluate()


def leave_out(promises: Promises, without: frozenset[str]) -> Promises:
    """The promises less some abilities and what stands on them. Raises TargetError where nothing is left to call."""
    ranks = promises.ranks
    if "positions" in without:
        ranks = tuple(rank for rank in ranks or (2,) if rank == 2)
        if not ranks:
            raise TargetError(f"nothing is left without positions: rank 2 is not among the ranks {promises.ranks}")
    if "gradients" in without:
        without |= {"second_order", "forward_mode"}
    if "affine" in without:
        without |= {"gamma", "beta"}
    if {"gamma", "beta"} & without:
        without |= {"affine", "unscaled", "unshifted", "beta_alone"}
    if "evaluation" in without:
        without |= {"untracked_evaluation"}
    if "running_statistics" in without:
        without |= {"evaluation", "switches", "cumulative", "initial_state", "late_statistics", "counter", "resets"}
        without |= {"retunes", "kept_statistics"}
    return replace(promises, ranks=ranks, abilities=promises.abilities - without)
