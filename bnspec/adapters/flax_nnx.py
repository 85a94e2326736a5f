"""flax.nnx.BatchNorm: a module that holds its variables, split from them where it is differentiated."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bnspec.adapters.axes import Backward, from_last
from bnspec.adapters.jax_arrays import DTYPES, answer, as_array, send
from bnspec.layers.protocol import Array

VARIABLES = {"gamma": "scale", "beta": "bias", "running_mean": "mean", "running_var": "var"}


class Nnx:
    """A module as it is constructed, or one that was given ready-made (`around`)."""

    bnspec_dialect = "flax-nnx"
    bnspec_channel_axis = -1
    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = DTYPES
    bnspec_versions: Mapping[str, str] = {"flax": flax.__version__, "jax": jax.__version__}
    bnspec_forks, bnspec_compiles = False, True
    training = True

    def __init__(
        self, module: type[nnx.BatchNorm], num_features: int, epsilon: float = 1e-5, momentum: float = 0.99,
        dtype: Any = np.float32, **options: Any,
    ) -> None:  # fmt: skip
        self._module = module(
            num_features, epsilon=epsilon, momentum=momentum, param_dtype=dtype, rngs=nnx.Rngs(0), **options
        )

    @classmethod
    def around(cls, module: nnx.BatchNorm) -> Nnx:
        """A layer of fixed eps and momentum."""
        self = cls.__new__(cls)
        self._module = module
        return self

    def __getattr__(self, name: str) -> Any:
        if name in ("epsilon", "momentum"):
            return getattr(self._module, name)
        if name not in VARIABLES:
            raise AttributeError(name)
        variable = getattr(self._module, VARIABLES[name])
        return None if variable is None else as_array(variable[...])

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in VARIABLES:
            super().__setattr__(name, value)
            return
        getattr(self._module, VARIABLES[name]).value = jnp.array(value)

    def __call__(self, x: Array) -> Array:
        return from_last(self._module(send(x), use_running_average=not self.training))

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        graph, parameters, rest = nnx.split(self._module, nnx.Param, ...)

        def run(parameters: Any, x: Any) -> Any:
            module = nnx.merge(graph, parameters, rest, copy=True)
            y = module(x, use_running_average=not self.training)
            return y, nnx.state(module, nnx.BatchStat)

        y, pull, statistics = jax.vjp(run, parameters, send(x), has_aux=True)
        nnx.update(self._module, statistics)

        def pull_named(dy: Any) -> tuple[Any, Any, Any]:
            by, dx = pull(dy)
            return dx, *(by[name][...] if name in by else None for name in ("scale", "bias"))

        return from_last(y), answer(pull_named)


def adapt(obj: Any) -> Any:
    """flax.nnx.BatchNorm, its subclasses, and layers of these."""
    if isinstance(obj, type) and issubclass(obj, nnx.BatchNorm):
        return functools.partial(Nnx, obj)
    return Nnx.around(obj) if isinstance(obj, nnx.BatchNorm) else None
