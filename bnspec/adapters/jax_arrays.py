"""What the adapters of JAX's libraries share: which dtypes there are, and arrays between NumPy and JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bnspec.adapters.axes import Backward, from_last, to_last
from bnspec.layers.protocol import Array

DTYPES = ("float32", "float64") if jax.config.jax_enable_x64 else ("float32",)
"""JAX has 64 bits where the process asks for them, as by JAX_ENABLE_X64=1."""


def as_array(values: Any) -> Array | None:
    """A NumPy array of a parameter or buffer; None stays."""
    return None if values is None else np.array(values)


def send(x: Array) -> jax.Array:
    """(N, C, ...) as JAX's array (N, ..., C), which shares no memory with x."""
    return jnp.array(to_last(x))


def answer(pull: Callable[[jax.Array], tuple[Any, Any, Any]]) -> Backward:
    """A backward in NumPy from one in JAX that gives (dx, dgamma, dbeta), the channel last."""

    def backward(dy: Array) -> tuple[Array, Array | None, Array | None]:
        dx, dgamma, dbeta = pull(send(dy))
        return from_last(dx), as_array(dgamma), as_array(dbeta)

    return backward
