"""flax.linen.BatchNorm: a description without arrays, and variables that are handed to each call."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from bnspec.adapters.axes import Backward, from_last
from bnspec.adapters.jax_arrays import DTYPES, answer, as_array, send
from bnspec.layers.protocol import Array

PLACES = {
    "gamma": ("params", "scale"),
    "beta": ("params", "bias"),
    "running_mean": ("batch_stats", "mean"),
    "running_var": ("batch_stats", "var"),
}


class Linen:
    """A module and its variables. `options` are the constructor's own."""

    bnspec_dialect = "flax"
    bnspec_channel_axis = -1
    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = DTYPES
    bnspec_versions: Mapping[str, str] = {"flax": flax.__version__, "jax": jax.__version__}
    bnspec_forks, bnspec_compiles = False, True
    training = True

    def __init__(
        self, module: type[nn.BatchNorm], features: int, epsilon: float = 1e-5, momentum: float = 0.99,
        dtype: Any = np.float32, **options: Any,
    ) -> None:  # fmt: skip
        self._module = module(epsilon=epsilon, momentum=momentum, param_dtype=dtype, **options)
        x = jnp.zeros((2, features), dtype)
        self._variables = dict(self._module.init(jax.random.key(0), x, use_running_average=False))

    def __getattr__(self, name: str) -> Array | None:
        if name not in PLACES:
            raise AttributeError(name)
        collection, key = PLACES[name]
        return as_array(self._variables.get(collection, {}).get(key))

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in PLACES:
            super().__setattr__(name, value)
            return
        collection, key = PLACES[name]
        self._variables[collection] = {**self._variables[collection], key: jnp.array(value)}

    def __call__(self, x: Array) -> Array:
        y, self._variables = self._apply(self._variables, send(x))
        return from_last(y)

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        params = self._variables.get("params", {})
        y, pull, self._variables = jax.vjp(
            lambda params, x: self._apply({**self._variables, "params": params}, x), params, send(x), has_aux=True
        )

        def pull_named(dy: Any) -> tuple[Any, Any, Any]:
            by, dx = pull(dy)
            return dx, by.get("scale"), by.get("bias")

        return from_last(y), answer(pull_named)

    def _apply(self, variables: dict[str, Any], x: Any) -> tuple[Any, dict[str, Any]]:
        if not self.training:
            return self._module.apply(variables, x, use_running_average=True), variables
        y, updated = self._module.apply(variables, x, use_running_average=False, mutable=["batch_stats"])
        return y, {**variables, **updated}


def adapt(obj: Any) -> Any:
    """flax.linen.BatchNorm and its subclasses."""
    return functools.partial(Linen, obj) if isinstance(obj, type) and issubclass(obj, nn.BatchNorm) else None
