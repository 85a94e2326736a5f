"""Functions of NumPy arrays: a class that holds their arrays makes a layer of them. They have no backward."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from bnspec.layers.adapter import read_attribute
from bnspec.layers.declarations import read_declarations
from bnspec.layers.probing import plain_batch
from bnspec.layers.protocol import Array, Structure
from bnspec.layers.signatures import BUFFERS, CHANNELS, Signature, Update, call_twice, find_update, take_y
from bnspec.layers.target import TargetError


def find_numpy_update(signature: Signature) -> Update | None:
    """How it hands back what it updates; None where no call with NumPy arrays returns.

    Raises TargetError where one returns something else than y, or y and more.
    """

    def call(structure: Structure, mean: float, var: float) -> Any:
        layer = Held(signature, Update(), CHANNELS, structure.eps, structure.momentum, np.float64)
        layer.running_mean, layer.running_var = np.full(CHANNELS, mean), np.full(CHANNELS, var)
        with np.errstate(all="ignore"):
            return layer.call(plain_batch(structure))

    returned = call_twice(call, "float64")
    if returned is None:
        return None
    if not isinstance(take_y(returned[0]), np.ndarray):
        raise TargetError(
            f"{signature.name} returned a {type(returned[0]).__name__} for NumPy arrays: y is wanted, or several"
            " values of which y is the first, as a NumPy array"
        )
    return find_update(returned, _unlike)


def _unlike(one: Any, other: Any) -> bool:
    both = isinstance(one, np.ndarray) and isinstance(other, np.ndarray)
    return both and one.size == CHANNELS and bool(np.any(one != other))


class Held:
    """The arrays of one layer, in the attributes that NumPy layers have."""

    training = True

    def __init__(
        self, signature: Signature, update: Update, channels: int, eps: float, momentum: float | None, dtype: DTypeLike
    ) -> None:
        self._signature, self._update = signature, update
        self._settings = {"eps": eps, "momentum": momentum}
        self.gamma = np.ones(channels, dtype) if signature.has("gamma") else None
        self.beta = np.zeros(channels, dtype) if signature.has("beta") else None
        self.running_mean, self.running_var = np.zeros(channels, dtype), np.ones(channels, dtype)

    def call(self, x: Array) -> Any:
        """What the function returns."""
        held = {name: getattr(self, name) for name in ("gamma", "beta", *BUFFERS)}
        return self._signature.call({**held, **self._settings, "x": x, "training": self.training})

    def __call__(self, x: Array) -> Any:
        returned = self.call(x)
        if self._update.places is not None and self.training:
            self.running_mean, self.running_var = (returned[place] for place in self._update.places)
        return take_y(returned)


def make_class(signature: Signature, update: Update) -> type[Held]:
    """A class of layers of a function: its constructor takes what can be chosen, it declares what the function does."""
    taken = signature
    sources = signature.function, getattr(signature.function, "func", None)
    declared = read_declarations(*sources)

    class Layer(Held):
        def __init__(
            self, num_features: int, eps: float = 1e-5, momentum: float | None = 0.1, dtype: DTypeLike = np.float32
        ) -> None:
            super().__init__(taken, update, num_features, eps, momentum, dtype)

    for name in (f"bnspec_{each.name}" for each in fields(declared)):
        values = (read_attribute(source, name) for source in sources)
        found = next((value for value in values if value is not None), None)
        if found is not None:
            setattr(Layer, name, found)
    for setting, value in signature.fixed.items():
        setattr(Layer, f"bnspec_{setting}", value)
    Layer.bnspec_without = tuple({*declared.without, "gradients", "initial_state"})  # type: ignore[attr-defined]  # declared
    settings = [name for name in ("eps", "momentum") if signature.has(name) and name not in signature.fixed]
    kind, defaults = inspect.Parameter.KEYWORD_ONLY, signature.defaults
    chosen = [inspect.Parameter(n, kind, default=defaults.get(n, inspect.Parameter.empty)) for n in settings]
    channels = inspect.Parameter("num_features", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    parameters = [channels, *chosen, inspect.Parameter("dtype", kind, default=np.float32)]
    Layer.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]  # what inspect reads
    Layer.__name__ = Layer.__qualname__ = signature.name
    return Layer
