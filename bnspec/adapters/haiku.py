"""haiku.BatchNorm: a module that exists inside a transformed function, whose parameters have the rank of the batch."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np

from bnspec.adapters.axes import Backward, from_last
from bnspec.adapters.jax_arrays import DTYPES, answer, as_array, send
from bnspec.layers.protocol import Array

PARAMETERS = {"gamma": "scale", "beta": "offset"}
AVERAGES = {"running_mean": "mean_ema", "running_var": "var_ema"}


class Haiku:
    """A transformed module, its parameters and state, made for batches of one rank."""

    bnspec_dialect = "haiku"
    bnspec_channel_axis = -1
    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = DTYPES
    bnspec_versions: Mapping[str, str] = {"haiku": hk.__version__, "jax": jax.__version__}
    bnspec_forks, bnspec_compiles = False, True
    training = True

    def __init__(
        self, module: type[hk.BatchNorm], features: int, decay_rate: float, eps: float = 1e-5,
        dtype: Any = np.float32, num_dims: int = 2, **options: Any,
    ) -> None:  # fmt: skip
        settings = {"create_scale": True, "create_offset": True, **options}

        def run(x: Any, training: bool) -> Any:
            return module(decay_rate=decay_rate, eps=eps, **settings, name="bn")(x, training)

        self._run = hk.without_apply_rng(hk.transform_with_state(run))
        x = jnp.zeros((2,) + (1,) * (num_dims - 2) + (features,), dtype)
        self._parameters, self._state = self._run.init(jax.random.key(0), x, True)

    def __getattr__(self, name: str) -> Array | None:
        if name in PARAMETERS:
            return as_array(self._parameters.get("bn", {}).get(PARAMETERS[name]))
        if name in AVERAGES:
            return as_array(self._state[f"bn/~/{AVERAGES[name]}"]["average"])
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in PARAMETERS and name not in AVERAGES:
            super().__setattr__(name, value)
            return
        if name in PARAMETERS:
            self._parameters = {"bn": {**self._parameters["bn"], PARAMETERS[name]: jnp.array(value)}}
        else:
            place = f"bn/~/{AVERAGES[name]}"
            self._state = {**self._state, place: {**self._state[place], "average": jnp.array(value)}}

    def __call__(self, x: Array) -> Array:
        y, self._state = self._run.apply(self._parameters, self._state, send(x), self.training)
        return from_last(y)

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        y, pull, self._state = jax.vjp(
            lambda p, x: self._run.apply(p, self._state, x, self.training), self._parameters, send(x), has_aux=True
        )

        def pull_named(dy: Any) -> tuple[Any, Any, Any]:
            by, dx = pull(dy)
            found = by.get("bn", {})
            return dx, found.get("scale"), found.get("offset")

        return from_last(y), answer(pull_named)


def adapt(obj: Any) -> Any:
    """haiku.BatchNorm and its subclasses."""
    return functools.partial(Haiku, obj) if isinstance(obj, type) and issubclass(obj, hk.BatchNorm) else None
