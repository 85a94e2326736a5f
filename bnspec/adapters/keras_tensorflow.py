"""Gradients of a Keras layer on TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from bnspec.layers.protocol import Array


def differentiate(layer: Any, x: Array, training: bool) -> tuple[Any, Callable[[Array], Sequence[Any]]]:
    """y, and the gradients by x and the trainable variables of an upstream gradient."""
    tensor = tf.constant(x)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(tensor)
        y = layer(tensor, training=training)
    inputs = [tensor, *(variable.value for variable in layer.trainable_variables)]
    return y, lambda dy: tape.gradient(y, inputs, tf.constant(dy))
