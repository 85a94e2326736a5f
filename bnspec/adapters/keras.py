"""keras.layers.BatchNormalization on whatever backend Keras runs; how that differentiates is in `keras_backends`."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import keras
import numpy as np

from bnspec.adapters.axes import Backward, from_last, to_last
from bnspec.adapters.wrapped import Wrapped
from bnspec.layers.protocol import Array

BACKEND: str = keras.config.backend()
DIALECTS = {"torch": "keras", "jax": "keras-jax", "tensorflow": "keras-tensorflow", "numpy": "keras-numpy"}


def read_version(backend: str) -> dict[str, str]:
    """The backend's own."""
    return {backend: str(importlib.import_module(backend).__version__)}


class Keras(Wrapped):
    """A layer that is built for batches of one rank, the channel last. `options` are the constructor's own."""

    bnspec_dialect = DIALECTS[BACKEND]
    bnspec_channel_axis = -1
    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = ("float32",)
    bnspec_versions: Mapping[str, str] = {"keras": keras.__version__, **read_version(BACKEND)}
    bnspec_forks, bnspec_compiles = BACKEND in ("torch", "numpy"), BACKEND == "jax"
    bnspec_without = ("gradients",) if BACKEND == "numpy" else ()
    names = MappingProxyType(
        {"gamma": "gamma", "beta": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    )
    settings = MappingProxyType({"epsilon": "epsilon", "momentum": "momentum"})

    def __init__(
        self, layer: type[keras.layers.BatchNormalization], channels: int, epsilon: float = 1e-3,
        momentum: float = 0.99, dtype: Any = np.float32, num_dims: int = 2, **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(layer(epsilon=epsilon, momentum=momentum, dtype=np.dtype(dtype).name, **options))
        self._layer.build((None,) * (num_dims - 1) + (channels,))

    def _receive(self, native: Any) -> Array:
        return as_array(native)

    def _write(self, name: str, value: Array) -> None:
        getattr(self._layer, self.names[name]).assign(value)

    def __call__(self, x: Array) -> Array:
        return from_last(as_array(self._layer(to_last(x), training=self.training)))

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        differentiate = importlib.import_module(f"bnspec.adapters.keras_{BACKEND}").differentiate
        y, pull = differentiate(self._layer, to_last(x), self.training)

        def backward(dy: Array) -> tuple[Array, Array | None, Array | None]:
            dx, *rest = pull(to_last(dy))
            found = iter([as_array(g) for g in rest])
            dgamma = next(found) if self._layer.scale else None
            dbeta = next(found) if self._layer.center else None
            return from_last(as_array(dx)), dgamma, dbeta

        return from_last(as_array(y)), backward


def as_array(value: Any) -> Array:
    """A NumPy array of a tensor or variable of the backend, of its own."""
    return np.array(keras.ops.convert_to_numpy(value))


def adapt(obj: Any) -> Any:
    """keras.layers.BatchNormalization, its subclasses, and layers of these that are built."""
    if isinstance(obj, type) and issubclass(obj, keras.layers.BatchNormalization):
        return functools.partial(Keras, obj)
    return Keras.around(obj) if isinstance(obj, keras.layers.BatchNormalization) and obj.built else None
