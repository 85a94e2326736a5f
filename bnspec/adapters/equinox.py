"""equinox.nn.BatchNorm: a layer of single examples, mapped over the batch by name, and a state apart.

With mode="batch" its buffers are sums that evaluation divides by 1 - momentum**batches; what is read here is the
quotient. What is written is what evaluations read until the next training batch, which goes on from the sums. With
mode="ema", the library's own default, they are the averages.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from bnspec.adapters.axes import Backward
from bnspec.adapters.jax_arrays import DTYPES, as_array
from bnspec.layers.protocol import Array

AXIS = "batch"
PARAMETERS = {"gamma": "weight", "beta": "bias"}
SUMS = {"running_mean": 0, "running_var": 1}


class Equinox:
    """A module and its state. `options` are the constructor's own."""

    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = DTYPES
    bnspec_versions: Mapping[str, str] = {"equinox": eqx.__version__, "jax": jax.__version__}
    bnspec_forks, bnspec_compiles = False, True
    training = True

    def __init__(
        self, module: type[eqx.nn.BatchNorm], input_size: int, eps: float = 1e-5, momentum: float = 0.99,
        dtype: Any = np.float32, **options: Any,
    ) -> None:  # fmt: skip
        settings = {"mode": "batch", **options}
        self.bnspec_dialect = f"equinox-{settings['mode']}"
        self._module, self._state = eqx.nn.make_with_state(module)(
            input_size, AXIS, eps=eps, momentum=momentum, dtype=jnp.dtype(dtype), **settings
        )
        self._written: Any = None

    @property
    def _place(self) -> Any:
        """Where in a state the buffers are."""
        return self._module.batch_state_index or self._module.ema_state_index

    def _averages(self) -> tuple[Any, Any]:
        if self._written is not None:
            mean, var = self._written.get(self._place)
            return mean, var
        mean, var = self._state.get(self._place)
        if self._module.batch_counter is None:
            return mean, var
        batches = self._state.get(self._module.batch_counter)
        scale = jnp.where(batches == 0, 1, 1 - self._module.momentum**batches)
        return mean / scale, var / scale

    def __getattr__(self, name: str) -> Array | None:
        if name in PARAMETERS:
            return as_array(getattr(self._module, PARAMETERS[name]))
        if name in SUMS:
            return as_array(self._averages()[SUMS[name]])
        raise AttributeError(name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in PARAMETERS:
            self._module = eqx.tree_at(lambda m: getattr(m, PARAMETERS[name]), self._module, jnp.array(value))
        elif name in SUMS:
            averages = list(self._averages())
            averages[SUMS[name]] = jnp.array(value)
            if self._module.batch_counter is None:
                self._state = clone(self._state).set(self._place, tuple(averages))
                return
            fresh = clone(self._state).set(self._module.batch_counter, jnp.array(0))  # by which nothing is divided
            self._written = fresh.set(self._place, tuple(averages))
        else:
            super().__setattr__(name, value)

    def __call__(self, x: Array) -> Array:
        y, state = self._run(self._module, jnp.array(x))
        self._keep(state)
        return np.asarray(y)

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        parameters, rest = eqx.partition(self._module, eqx.is_inexact_array)
        y, pull, state = jax.vjp(
            lambda parameters, x: self._run(eqx.combine(parameters, rest), x), parameters, jnp.array(x), has_aux=True
        )
        self._keep(state)

        def backward(dy: Array) -> tuple[Array, Array | None, Array | None]:
            by, dx = pull(jnp.array(dy))
            return np.asarray(dx), as_array(by.weight), as_array(by.bias)

        return np.asarray(y), backward

    def _run(self, module: eqx.nn.BatchNorm, x: jax.Array) -> tuple[jax.Array, Any]:
        # A call uses its state up, even one that raises: this one's own stays.
        state = clone(self._state if self.training or self._written is None else self._written)
        run: tuple[jax.Array, Any] = jax.vmap(
            lambda example: module(example, state, inference=not self.training), axis_name=AXIS, out_axes=(0, None)
        )(x)
        return run

    def _keep(self, state: Any) -> None:
        if self.training:
            self._state, self._written = state, None


def clone(state: Any) -> Any:
    """A state of its own: setting a value uses a state up."""
    leaves, structure = jax.tree_util.tree_flatten(state)
    return jax.tree_util.tree_unflatten(structure, leaves)


def adapt(obj: Any) -> Any:
    """equinox.nn.BatchNorm and its subclasses."""
    return functools.partial(Equinox, obj) if isinstance(obj, type) and issubclass(obj, eqx.nn.BatchNorm) else None
