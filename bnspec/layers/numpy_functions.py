"""Functions of NumPy arrays: a class that holds their arrays makes a layer of them. They have no backward."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from bnspec.layers.adapter import read_attribute
from bnspec.layers.construction import AFFINE, BIAS, RANK, SCALE, TRACKING
from bnspec.layers.declarations import read_declarations
from bnspec.layers.implementation import Implementation
from bnspec.layers.modes import to_last
from bnspec.layers.objects import resolve_object
from bnspec.layers.probing import plain_batch
from bnspec.layers.protocol import Array, Structure, SubjectError
from bnspec.layers.returned import BUFFERS, OVERWROTE, Trial, Update, find_arrays
from bnspec.layers.signatures import CHANNELS, RANKS, Refusal, Signature, fit_shape, try_out, understand

DTYPES = ("float64", "float32")
"""What is tried. Where float32 comes back as another, the function computes in float64 alone."""
LACKING = {AFFINE: ("gamma", "beta"), BIAS: ("beta",), SCALE: ("gamma",), TRACKING: BUFFERS}
"""What a layer lacks by the option of its constructor."""
BASE = Structure(CHANNELS, RANKS[0], DTYPES[0], "cpu", 1e-5, 0.1)


def resolve_numpy_function(signature: Signature, without: frozenset[str]) -> Implementation:
    """An implementation from a function of NumPy arrays. Raises Refusal, TargetError (`resolve_held`)."""
    return resolve_held(signature, without, Held, "NumPy arrays")


def resolve_held(signature: Signature, without: frozenset[str], held: type[Held], arrays: str) -> Implementation:
    """An implementation whose layers hold a function's arrays. Raises Refusal where no call returns, TargetError."""
    signature = fit_shape(signature, _call_with(held), BASE)
    trials, refused = dict[str, list[Trial]](), Refusal()
    for dtype in DTYPES:
        try:
            call = functools.partial(_call_with(held), signature)
            trials[dtype] = try_out(call, (replace(BASE, rank=r, dtype=dtype) for r in RANKS))
        except Refusal as refusal:
            refused = refusal
    if not trials:
        raise refused
    update = understand(signature, next(iter(trials.values())))
    kept = tuple(d for d, (first, *_) in trials.items() if d == "float64" or first.returned[update.y].dtype == d)
    layer = make_class(signature, update, held)
    layer.bnspec_dtypes = layer.bnspec_dtypes or kept or tuple(trials)
    made, told = resolve_object(layer, {}, without), signature.tell(arrays, update.words)
    axis = -1 if signature.last else made.channel_axis
    return replace(
        made, channel_axis=axis, name=signature.name, understood="; ".join(filter(None, (told, made.understood)))
    )


def _answers_untracked(signature: Signature, held: type[Held], *, training: bool) -> bool:
    """Does a call without running statistics return, of a function that may be called so?"""
    for rank in RANKS if signature.may_lack_statistics else ():
        shape = signature.shape(CHANNELS, rank)
        layer = held(signature, Update(), shape, BASE.eps, BASE.momentum, BASE.dtype, frozenset(BUFFERS))
        layer.training = training
        try:
            if find_arrays(layer.call(plain_batch(replace(BASE, rank=rank))), count):
                return True
        except Exception:  # noqa: BLE001  (a trial: whatever was raised, it takes no such batch)
            continue
    return False


def _call_with(held: type[Held]) -> Callable[..., Trial]:
    def call(signature: Signature, structure: Structure, mean: float = 0.0, var: float = 1.0) -> Trial:
        shape = signature.shape(CHANNELS, structure.rank)
        layer = held(signature, Update(), shape, structure.eps, structure.momentum, structure.dtype)
        x, given = plain_batch(structure), tuple(np.full(CHANNELS, fill, structure.dtype) for fill in (mean, var))
        layer.running_mean, layer.running_var = left = tuple(array.reshape(shape).copy() for array in given)
        with np.errstate(all="ignore"):
            returned = layer.call(np.array(x))
        return Trial(
            to_last(x) if signature.last else x,
            given,
            tuple(map(np.ravel, left)),
            find_arrays(returned, count),
            type(returned).__name__,
        )

    return call


def count(value: Any) -> int | None:
    """How many numbers an array holds, None of anything else."""
    return value.size if isinstance(value, np.ndarray) else None


class Held:
    """The arrays of one layer, in the attributes that NumPy layers have.

    A framework that takes NumPy arrays and has its own says in a subclass how they cross, and has a `vjp`.
    """

    bnspec_dtypes: tuple[str, ...] = ()
    bnspec_without: tuple[str, ...] = ("gradients", "initial_state", "cumulative")
    training = True

    def __init__(
        self, signature: Signature, update: Update, shape: tuple[int, ...], eps: float, momentum: float | None,
        dtype: DTypeLike, lacking: frozenset[str] = frozenset(),
    ) -> None:  # fmt: skip
        self._signature, self._update = signature, update
        self._settings = {"eps": eps, "momentum": momentum}
        starts = {"gamma": np.ones, "beta": np.zeros, "running_mean": np.zeros, "running_var": np.ones}
        there = {role: signature.is_open(role) and role not in lacking for role in starts}
        arrays = {role: start(shape, dtype) if there[role] else None for role, start in starts.items()}
        self.gamma, self.beta, self.running_mean, self.running_var = arrays.values()

    def call(self, x: Array) -> Any:
        """What the function returns."""
        held = {name: getattr(self, name) for name in ("gamma", "beta", *BUFFERS)}
        return self._signature.call({**held, **self._settings, "x": x, "training": self.training})

    def __call__(self, x: Array) -> Any:
        watched = BUFFERS if self._update.places and self.running_mean is not None else ()
        given = [np.array(getattr(self, name)) for name in watched]
        returned = self.call(x)
        for name, before in zip(watched, given, strict=True):
            if not np.array_equal(getattr(self, name), before, equal_nan=True):
                raise SubjectError("forward", OVERWROTE.format(name))
        return self.adopt(returned)

    def adopt(self, returned: Any) -> Any:
        """Keep the running statistics that were returned, if there were any to be kept, and give y."""
        if self.running_mean is not None:
            new = self._update.take_statistics(returned, count, None if self.training else self.running_mean.size)
            self.running_mean, self.running_var = new or (self.running_mean, self.running_var)
        return self._update.take_y(returned, count)


def make_class(signature: Signature, update: Update, held: type[Held]) -> type[Held]:
    """A class of layers of a function: its constructor takes what can be chosen, it declares what the function does."""
    taken = signature
    sources = signature.function, getattr(signature.function, "func", None)
    declared = read_declarations(*sources)

    class Layer(held):  # type: ignore[valid-type,misc]  # whichever it is
        def __init__(
            self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, num_dims: int = 2, **options: bool
        ) -> None:
            lacking = frozenset(
                role for option, roles in LACKING.items() if not options.get(option, True) for role in roles
            )
            super().__init__(taken, update, taken.shape(num_features, num_dims), eps, momentum, np.float64, lacking)

    for name in (f"bnspec_{each.name}" for each in fields(declared) if each.name != "channels_last"):
        values = (read_attribute(source, name) for source in sources)
        found = next((value for value in values if value is not None), None)
        if found is not None:
            setattr(Layer, name, found)
    for setting, value in signature.fixed.items():
        setattr(Layer, f"bnspec_{setting}", value)
    modes = {"untracked": True, "untracked_evaluation": False}
    refused = {a for a, training in modes.items() if not _answers_untracked(signature, held, training=training)}
    refused |= {"kept_statistics"} if update.places else set()  # whoever is handed them keeps them (R8)
    lacking = {*signature.without, *held.bnspec_without, *refused}
    Layer.bnspec_without = tuple({*declared.without, *lacking})
    settings = [name for name in ("eps", "momentum") if signature.is_open(name)]
    kind, defaults = inspect.Parameter.KEYWORD_ONLY, signature.defaults
    chosen = [inspect.Parameter(n, kind, default=defaults.get(n, inspect.Parameter.empty)) for n in settings]
    offered = {AFFINE: "unscaled", BIAS: "unshifted", SCALE: "beta_alone"}
    chosen += [inspect.Parameter(n, kind, default=True) for n, a in offered.items() if a in signature.may_lack]
    chosen += [inspect.Parameter(TRACKING, kind, default=True)] if "untracked" not in refused else []
    chosen += [inspect.Parameter(RANK, kind, default=2)] if signature.shaped else []
    channels = inspect.Parameter("num_features", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    Layer.__signature__ = inspect.Signature([channels, *chosen])
    Layer.__name__ = Layer.__qualname__ = signature.name
    return Layer
