"""Functions of NumPy arrays: a class that holds their arrays makes a layer of them. They have no backward."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from bnspec.layers.adapter import read_attribute
from bnspec.layers.declarations import read_declarations
from bnspec.layers.implementation import Implementation
from bnspec.layers.objects import resolve_object
from bnspec.layers.probing import plain_batch
from bnspec.layers.protocol import Array, Structure, SubjectError
from bnspec.layers.returned import BUFFERS, OVERWROTE, Trial, Update, find_arrays
from bnspec.layers.signatures import CHANNELS, RANKS, Refusal, Signature, try_out, understand

DTYPES = ("float64", "float32")
"""What is tried. Where float32 comes back as another, the function computes in float64 alone."""
BASE = Structure(CHANNELS, RANKS[0], DTYPES[0], "cpu", 1e-5, 0.1)


def resolve_numpy_function(signature: Signature, without: frozenset[str]) -> Implementation:
    """An implementation from a function of NumPy arrays. Raises Refusal, TargetError (`resolve_held`)."""
    return resolve_held(signature, without, Held, "NumPy arrays")


def resolve_held(signature: Signature, without: frozenset[str], held: type[Held], arrays: str) -> Implementation:
    """An implementation whose layers hold a function's arrays. Raises Refusal where no call returns, TargetError."""
    trials, refused = dict[str, list[Trial]](), Refusal()
    for dtype in DTYPES:
        try:
            trials[dtype] = try_out(_call_with(signature, held), (replace(BASE, rank=r, dtype=dtype) for r in RANKS))
        except Refusal as refusal:
            refused = refusal
    if not trials:
        raise refused
    update = understand(signature, next(iter(trials.values())))
    kept = tuple(d for d, (first, *_) in trials.items() if d == "float64" or first.returned[update.y].dtype == d)
    layer = make_class(signature, update, held)
    layer.bnspec_dtypes = layer.bnspec_dtypes or kept or tuple(trials)
    made, told = resolve_object(layer, {}, without), signature.tell(arrays, update.words)
    return replace(made, name=signature.name, understood="; ".join(filter(None, (told, made.understood))))


def _call_with(signature: Signature, held: type[Held]) -> Callable[[Structure, float, float], Trial]:
    def call(structure: Structure, mean: float, var: float) -> Trial:
        layer = held(signature, Update(), CHANNELS, structure.eps, structure.momentum, structure.dtype)
        x, given = plain_batch(structure), tuple(np.full(CHANNELS, fill, structure.dtype) for fill in (mean, var))
        layer.running_mean, layer.running_var = left = tuple(map(np.array, given))
        with np.errstate(all="ignore"):
            returned = layer.call(np.array(x))
        return Trial(x, given, left, find_arrays(returned, count), type(returned).__name__)

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
        self, signature: Signature, update: Update, channels: int, eps: float, momentum: float | None, dtype: DTypeLike
    ) -> None:
        self._signature, self._update = signature, update
        self._settings = {"eps": eps, "momentum": momentum}
        starts = {"gamma": np.ones, "beta": np.zeros, "running_mean": np.zeros, "running_var": np.ones}
        arrays = {role: start(channels, dtype) if signature.is_open(role) else None for role, start in starts.items()}
        self.gamma, self.beta, self.running_mean, self.running_var = arrays.values()

    def call(self, x: Array) -> Any:
        """What the function returns."""
        held = {name: getattr(self, name) for name in ("gamma", "beta", *BUFFERS)}
        return self._signature.call({**held, **self._settings, "x": x, "training": self.training})

    def __call__(self, x: Array) -> Any:
        given = [np.array(getattr(self, name)) for name in BUFFERS]
        returned = self.call(x)
        for name, before in zip(BUFFERS if self._update.places else (), given, strict=False):
            if not np.array_equal(getattr(self, name), before, equal_nan=True):
                raise SubjectError("forward", OVERWROTE.format(name))
        return self.adopt(returned)

    def adopt(self, returned: Any) -> Any:
        """Keep the running statistics that were returned, if they were, and give y."""
        channels = None if self.training or self.running_mean is None else self.running_mean.size
        new = self._update.take_statistics(returned, count, channels)
        self.running_mean, self.running_var = new or (self.running_mean, self.running_var)
        return self._update.take_y(returned, count)


def make_class(signature: Signature, update: Update, held: type[Held]) -> type[Held]:
    """A class of layers of a function: its constructor takes what can be chosen, it declares what the function does."""
    taken = signature
    sources = signature.function, getattr(signature.function, "func", None)
    declared = read_declarations(*sources)

    class Layer(held):  # type: ignore[valid-type,misc]  # whichever it is
        def __init__(self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> None:
            super().__init__(taken, update, num_features, eps, momentum, np.float64)

    for name in (f"bnspec_{each.name}" for each in fields(declared)):
        values = (read_attribute(source, name) for source in sources)
        found = next((value for value in values if value is not None), None)
        if found is not None:
            setattr(Layer, name, found)
    for setting, value in signature.fixed.items():
        setattr(Layer, f"bnspec_{setting}", value)
    Layer.bnspec_without = tuple({*declared.without, *signature.without, *held.bnspec_without})
    settings = [name for name in ("eps", "momentum") if signature.is_open(name)]
    kind, defaults = inspect.Parameter.KEYWORD_ONLY, signature.defaults
    chosen = [inspect.Parameter(n, kind, default=defaults.get(n, inspect.Parameter.empty)) for n in settings]
    channels = inspect.Parameter("num_features", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    Layer.__signature__ = inspect.Signature([channels, *chosen])
    Layer.__name__ = Layer.__qualname__ = signature.name
    return Layer
