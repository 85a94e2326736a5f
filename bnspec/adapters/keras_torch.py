"""Gradients of a Keras layer on torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from bnspec.layers.protocol import Array


def differentiate(layer: Any, x: Array, training: bool) -> tuple[Any, Callable[[Array], Sequence[Any]]]:
    """y, and the gradients by x and the trainable variables of an upstream gradient."""
    tensor = torch.tensor(x, requires_grad=True)
    y = layer(tensor, training=training)
    inputs = [tensor, *(variable.value for variable in layer.trainable_variables)]
    return y, lambda dy: torch.autograd.grad(y, inputs, torch.tensor(dy), retain_graph=True)
