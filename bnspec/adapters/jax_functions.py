"""Functions of JAX arrays, which return what they update; their gradients are those of jax.vjp."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bnspec.adapters.axes import Backward
from bnspec.adapters.jax_arrays import DTYPES, as_array
from bnspec.layers.numpy_functions import Held
from bnspec.layers.protocol import Array
from bnspec.layers.returned import BUFFERS


class HeldInJax(Held):
    """The arrays of one layer in NumPy, for a function that is handed them in JAX."""

    bnspec_dtypes = DTYPES
    bnspec_without = ("initial_state", "cumulative")
    bnspec_forks, bnspec_compiles = False, True
    bnspec_versions: Mapping[str, str] = {"jax": jax.__version__}

    def call(self, x: Array) -> Any:
        return _receive(self._apply(self.gamma, self.beta, x))

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        """y, which is taken out of what comes back, and a backward of it alone."""
        parameters = [None if p is None else jnp.array(p) for p in (self.gamma, self.beta)]

        def apply(gamma: Any, beta: Any, x: Any) -> tuple[Any, Any]:
            returned = self._apply(gamma, beta, x)
            return self._update.take_y(returned, _count), returned

        _, pull, returned = jax.vjp(apply, *parameters, jnp.array(x), has_aux=True)

        def backward(dy: Array) -> tuple[Array, Array | None, Array | None]:
            dgamma, dbeta, dx = map(as_array, pull(jnp.array(dy)))
            assert dx is not None
            return dx, dgamma, dbeta

        return self.adopt(_receive(returned)), backward

    def _apply(self, gamma: Any, beta: Any, x: Any) -> Any:
        held = {"gamma": gamma, "beta": beta, **{name: getattr(self, name) for name in BUFFERS}, "x": x}
        arrays = {role: value if value is None else jnp.array(value) for role, value in held.items()}
        return self._signature.call({**arrays, **self._settings, "training": self.training})


def _count(value: Any) -> int | None:
    return value.size if isinstance(value, jax.Array) else None


def _receive(returned: Any) -> Any:
    """The same with NumPy arrays, which can be written to as JAX's cannot."""
    return jax.tree.map(lambda leaf: np.array(leaf) if isinstance(leaf, jax.Array) else leaf, returned)
