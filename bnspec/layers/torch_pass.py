"""A forward of a torch subject, kept for its backward."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import torch

from bnspec.layers.protocol import Array, Description, Grad, Gradients, SubjectError, calling
from bnspec.layers.torch_tensors import describe_tensor, require_tensor, to_array, to_tensor


@dataclass
class TorchPass:
    """`gamma` and `beta` are the tensors that the forward used, where they needed a gradient."""

    x: torch.Tensor
    output: torch.Tensor
    grad: Grad
    gamma: torch.Tensor | None
    beta: torch.Tensor | None
    dy: torch.Tensor | None = None

    @property
    def y(self) -> Array:
        return to_array(self.output)

    def backward(self, dy: Array) -> Gradients:
        """Gradients by what the pass was asked for; None where autograd gives none."""
        self.dy = to_tensor(dy, str(self.x.device))
        named = {"x": self.x if self.grad.x else None, "gamma": self.gamma, "beta": self.beta}
        wanted = {name: tensor for name, tensor in named.items() if tensor is not None}
        found: dict[str, Array | None] = dict.fromkeys(named)
        if wanted:
            with calling("backward"):
                got = torch.autograd.grad(self.output, list(wanted.values()), self.dy, allow_unused=True)
            found.update(
                {name: None if g is None else to_array(g) for name, g in zip(wanted, got, strict=True)}
            )
        return Gradients(**found)

    def read(self, what: Literal["x", "y", "dy"]) -> Array:
        held = {"x": self.x, "y": self.output, "dy": self.dy}[what]
        if held is None:
            raise SubjectError("backward", "there was no upstream gradient yet")
        return to_array(held)

    def describe(self) -> Description:
        return describe_tensor(self.output)


def run_torch(
    call: Callable[[torch.Tensor], object], x: Array, device: str, grad: Grad, gamma: torch.Tensor | None,
    beta: torch.Tensor | None,
) -> TorchPass:  # fmt: skip
    """Call a subject on a fresh leaf; which of x, gamma and beta need a gradient is set first."""
    leaf = to_tensor(x, device)
    if grad.x:
        leaf.requires_grad_()
    for tensor, needed in ((gamma, grad.gamma), (beta, grad.beta)):
        if tensor is not None and tensor.requires_grad != needed:
            with calling("state"):
                tensor.requires_grad_(needed)
    recording: AbstractContextManager[object] = torch.enable_grad() if grad.recording else torch.no_grad()
    with calling("forward"), recording:
        output = require_tensor(call(leaf), "forward", "the output")
    return TorchPass(leaf, output, grad, gamma if grad.gamma else None, beta if grad.beta else None)
