"""Gradients of a Keras layer on JAX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from bnspec.layers.protocol import Array


def differentiate(layer: Any, x: Array, training: bool) -> tuple[Any, Callable[[Array], Sequence[Any]]]:
    """y, and the gradients by x and the trainable variables of an upstream gradient."""
    trainable, others = ([v.value for v in vs] for vs in (layer.trainable_variables, layer.non_trainable_variables))
    y, pull, updated = jax.vjp(
        lambda x, trainable: layer.stateless_call(trainable, others, x, training=training),
        jnp.array(x), trainable, has_aux=True,
    )  # fmt: skip
    for variable, value in zip(layer.non_trainable_variables, updated, strict=True):
        variable.assign(value)

    def backward(dy: Array) -> Sequence[Any]:
        dx, rest = pull(jnp.array(dy))
        return [dx, *rest]

    return y, backward
