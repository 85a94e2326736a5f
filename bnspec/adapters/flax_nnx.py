"""flax.nnx.BatchNorm: a module that holds its variables, split from them where it is differentiated."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from bnspec.adapters.axes import Backward, from_last
from bnspec.adapters.jax_arrays import DTYPES, answer, send
from bnspec.adapters.wrapped import Wrapped, adapting
from bnspec.layers.protocol import Array


class Nnx(Wrapped):
    """A module."""

    bnspec_dialect = "flax-nnx"
    bnspec_channel_axis = -1
    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = DTYPES
    bnspec_versions: Mapping[str, str] = {"flax": flax.__version__, "jax": jax.__version__}
    bnspec_forks, bnspec_compiles = False, True
    names = MappingProxyType({"gamma": "scale", "beta": "bias", "running_mean": "mean", "running_var": "var"})
    settings = MappingProxyType({"epsilon": "epsilon", "momentum": "momentum"})

    def __init__(
        self, module: type[nnx.BatchNorm], num_features: int, epsilon: float = 1e-5, momentum: float = 0.99,
        dtype: Any = np.float32, **options: Any,
    ) -> None:  # fmt: skip
        settings = {"epsilon": epsilon, "momentum": momentum, "param_dtype": dtype, **options}
        super().__init__(module(num_features, rngs=nnx.Rngs(0), **settings))

    def _receive(self, native: nnx.Variable[Any]) -> Array:
        return np.asarray(native[...])

    def _write(self, name: str, value: Array) -> None:
        getattr(self._layer, self.names[name]).value = jnp.array(value)

    def __call__(self, x: Array) -> Array:
        return from_last(self._layer(send(x), use_running_average=not self.training))

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        graph, parameters, rest = nnx.split(self._layer, nnx.Param, ...)

        def run(parameters: Any, x: Any) -> Any:
            module = nnx.merge(graph, parameters, rest, copy=True)
            y = module(x, use_running_average=not self.training)
            return y, nnx.state(module, nnx.BatchStat)

        y, pull, statistics = jax.vjp(run, parameters, send(x), has_aux=True)
        nnx.update(self._layer, statistics)

        def pull_named(dy: Any) -> tuple[Any, Any, Any]:
            by, dx = pull(dy)
            return dx, *(by[name][...] if name in by else None for name in ("scale", "bias"))

        return from_last(y), answer(pull_named)


adapt = adapting(nnx.BatchNorm, Nnx)
