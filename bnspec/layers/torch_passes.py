"""One forward of a torch layer, and what autograd makes of it: gradients, and gradients of these."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor

from bnspec.layers.protocol import Array, By, Description, Gradients, Stage, SubjectError, calling
from bnspec.layers.torch_tensors import describe_tensor, to_array, to_tensor


class TorchPass:
    """One forward. `wanted` has those of x, gamma and beta, as they were then, that need a gradient.

    `held` gives the leaf that x was made of, as long as a graph or anything else keeps it.
    """

    def __init__(
        self, x: Tensor, y: Tensor, wanted: tuple[Tensor | None, ...], device: str, held: Callable[[], object]
    ) -> None:
        self._native = {"x": x, "y": y}
        self.wanted, self._device, self._held = wanted, device, held
        with calling("forward"):
            # At once, because a later call may overwrite what it handed out (E8).
            self._y = to_array(y)

    @property
    def x(self) -> Tensor:
        """The native input."""
        return self._native["x"]

    @property
    def y(self) -> Array:
        return self._y

    def backward(self, dy: Array) -> Gradients:
        return differentiate([self], [dy])[0]

    def receive(self, dy: Array) -> tuple[Tensor, Tensor]:
        """y and an upstream gradient, as they go into a backward."""
        self._native["dy"] = to_tensor(dy, self._device)
        return self._native["y"], self._native["dy"]

    def keep_dx(self, dx: Tensor | None) -> None:
        """The native gradient, whose strides may be asked for."""
        if dx is not None:
            self._native["dx"] = dx

    def read(self, what: Literal["x", "y", "dy"]) -> Array:
        with calling("state"):
            return to_array(self._native[what])

    def watch(self) -> Callable[[], object]:
        return self._held

    def describe(self, what: Literal["y", "dx"] = "y") -> Description:
        return describe_tensor(self._native[what])


def differentiate(passes: Sequence[TorchPass], dys: Sequence[Array], *, keep: bool = False) -> list[Gradients]:
    """The gradients of a sum of passes that share their parameters: x of each, gamma and beta of all in each.

    `keep` leaves the graph for another backward.
    """
    ys, upstream = zip(*(each.receive(dy) for each, dy in zip(passes, dys, strict=True)), strict=True)
    inputs = {id(tensor): tensor for each in passes for tensor in each.wanted if tensor is not None}
    if not inputs:
        return [Gradients(None, None, None) for _ in passes]
    for tensor in inputs.values():
        if not tensor.requires_grad:  # frozen since, by another pass; the next one says itself what it needs
            tensor.requires_grad_()
    with calling("backward"):
        found: Sequence[Tensor | None] = torch.autograd.grad(
            [Loss.apply(*ys, *upstream)],  # type: ignore[no-untyped-call]  # torch leaves it untyped
            list(inputs.values()),
            retain_graph=keep,
            allow_unused=True,
        )
        gradients = dict(zip(inputs, found, strict=True))
        for each in passes:
            each.keep_dx(gradients.get(id(each.wanted[0])))
        arrays = {key: to_array(g) for key, g in gradients.items() if g is not None}
        return [Gradients(*(arrays.get(id(tensor)) for tensor in each.wanted)) for each in passes]


def differentiate_twice(
    passed: TorchPass, dy: Array, along: Gradients, *, curved: bool = False
) -> Callable[[By, bool], Array | None]:
    """Asks for gradients of gradients, one input at a time: what was not recorded again then raises (see protocol)."""
    y, upstream = passed.receive(dy)
    named = dict(zip(("x", "gamma", "beta"), passed.wanted, strict=True))
    inputs = {name: tensor for name, tensor in named.items() if tensor is not None}
    with calling("backward"):
        upstream.requires_grad_()
        bent = upstream + (y - y.detach()) if curved else upstream
        first = torch.autograd.grad(
            [Loss.apply(y, bent)],  # type: ignore[no-untyped-call]  # torch leaves it untyped
            list(inputs.values()),
            create_graph=True,
        )
        moved = torch.zeros((), dtype=y.dtype, device=y.device)
        for name, gradient in zip(inputs, first, strict=True):
            direction: Array | None = getattr(along, name)
            if direction is not None:
                moved = moved + (gradient * to_tensor(direction, str(y.device)).reshape(gradient.shape)).sum()

    def ask(by: By, may_lack: bool) -> Array | None:
        with calling("backward"):
            asked = upstream if by == "dy" else inputs[by]
            found: Sequence[Tensor | None] = torch.autograd.grad(
                [moved], [asked], retain_graph=True, allow_unused=may_lack
            )
            return None if found[0] is None else to_array(found[0])

    return ask


class Loss(torch.autograd.Function):
    """A number whose gradient by each y is its upstream gradient, as a loss is.

    `grad_outputs` would import torch's symbolic shapes to compare sizes, a third of a second for nothing.
    """

    @staticmethod
    def forward(ctx: Any, *ys_and_dys: Tensor) -> Tensor:
        ctx.dys = ys_and_dys[len(ys_and_dys) // 2 :]
        return ys_and_dys[0].new_zeros(())

    @staticmethod
    def backward(ctx: Any, *_one: Tensor) -> tuple[Tensor | None, ...]:
        return (*ctx.dys, *(None for _ in ctx.dys))


def check_tensor(stage: Stage, verb: str, value: Any) -> Tensor:
    """What the subject handed over, a tensor. Raises SubjectError."""
    if not isinstance(value, Tensor):
        raise SubjectError(stage, f"{verb} a {type(value).__name__}, wanted a torch.Tensor")
    return value
