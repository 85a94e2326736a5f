"""Layers that write out the derivatives of their gradients, or those of their outputs: right ones, and wrong steps.

All are right in value and in gradient: what is wrong shows where a gradient is differentiated, or a tangent carried.
"""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_second_order.py)

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from bnspec.mutants.torch_base import BatchNorm, over_channels

Three = tuple[Tensor, Tensor, Tensor]


@dataclass(frozen=True)
class Known:
    """What derivatives are made of: xhat in the shape of x, rstd and weight (C,), and whether mean and var follow x."""

    xhat: Tensor
    rstd: Tensor
    weight: Tensor
    coupled: bool

    @property
    def scale(self) -> Tensor:
        return over_channels(self.weight * self.rstd, self.xhat)


class Forward(torch.autograd.Function):
    """y, whose gradients its layer answers in recorded operations."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        x, weight, bias, mean, rstd, ctx.layer, ctx.coupled = inputs
        ctx.save_for_backward(x, weight, mean, rstd)
        y: Tensor = know(x, weight, mean, rstd, ctx.coupled).xhat * over_channels(weight, x) + over_channels(bias, x)
        return y

    @staticmethod
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        return *ctx.layer.answer(dy, *ctx.saved_tensors, ctx.coupled), None, None, None, None


class Backward(torch.autograd.Function):
    """dx, dgamma and dbeta, whose gradients its layer writes out."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Three:
        dy, x, weight, mean, rstd, ctx.layer, ctx.coupled = inputs
        ctx.save_for_backward(dy, x, weight, mean, rstd)
        first: Three = ctx.layer.first(dy, know(x, weight, mean, rstd, ctx.coupled))
        return first

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *along: Tensor) -> tuple[Tensor | None, ...]:
        dy, x, weight, mean, rstd = ctx.saved_tensors
        return *ctx.layer.second(dy, along, know(x, weight, mean, rstd, ctx.coupled)), None, None, None, None


class Pushed(torch.autograd.Function):
    """y, whose gradients can be had once, and whose tangent its layer writes out."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        x, weight, _, mean, rstd, *_ = inputs
        ctx.save_for_forward(x, weight, mean, rstd)
        return Forward.forward(ctx, *inputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        return *ctx.layer.first(dy, recall(ctx)), None, None, None, None

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        known = recall(ctx)
        zeros = (torch.zeros_like(known.xhat), torch.zeros_like(known.weight), torch.zeros_like(known.weight))
        given = (zero if t is None else t for t, zero in zip(tangents, zeros, strict=False))
        y: Tensor = ctx.layer.push(*given, known)
        return y


def recall(ctx: Any) -> Known:
    """What a forward kept."""
    x, weight, mean, rstd = ctx.saved_tensors
    return know(x, weight, mean, rstd, ctx.coupled)


def know(x: Tensor, weight: Tensor, mean: Tensor, rstd: Tensor, coupled: bool) -> Known:
    """xhat from x and what is kept of its statistics."""
    return Known((x - over_channels(mean, x)) * over_channels(rstd, x), rstd, weight, coupled)


class DoubleBackward(BatchNorm):
    """The gradients of the gradients written out (spec G10): right."""

    function: type[torch.autograd.Function] = Forward

    def transform(self, x: Tensor, mean: Tensor, var: Tensor, coupled: bool) -> Tensor:
        weight, bias = (
            torch.full_like(mean, other) if parameter is None else parameter.to(x.dtype)
            for parameter, other in ((self.weight, 1.0), (self.bias, 0.0))
        )
        rstd = self.rstd(var.detach())
        y: Tensor = self.function.apply(  # type: ignore[no-untyped-call]  # torch leaves `apply` untyped
            x, weight, bias, mean.detach(), rstd, self, coupled
        )
        return y

    def answer(self, dy: Tensor, *saved: Any) -> Three:
        three: Three = Backward.apply(dy, *saved[:-1], self, saved[-1])  # type: ignore[no-untyped-call]  # untyped in torch
        return three

    def total(self, values: Tensor) -> Tensor:
        return self.rows(values).sum(1)

    def average(self, values: Tensor) -> Tensor:
        """Over a channel, in a shape that spreads over it."""
        return over_channels(self.total(values) / (values.numel() // values.shape[1]), values)

    def project(self, values: Tensor, known: Known) -> Tensor:
        """Less the mean and the part along xhat."""
        if not known.coupled:
            return values
        return values - self.average(values) - known.xhat * self.average(values * known.xhat)

    def first(self, dy: Tensor, known: Known) -> Three:
        return self.project(dy, known) * known.scale, self.total(dy * known.xhat), self.total(dy)

    def second(self, dy: Tensor, along: Three, known: Known) -> Three:
        """By dy, x and weight."""
        u, a, _ = along
        return self.push(*along, known), self.by_x(dy, u, a, known), self.by_weight(dy, u, known)

    def push(self, u: Tensor, a: Tensor, b: Tensor, known: Known) -> Tensor:
        """What y becomes along a direction; the gradient by dy is the same."""
        return self.project(u, known) * known.scale + known.xhat * over_channels(a, u) + over_channels(b, u)

    def by_x(self, dy: Tensor, u: Tensor, a: Tensor, known: Known) -> Tensor:
        straight = self.project(dy, known) * over_channels(a * known.rstd, dy)
        if not known.coupled:
            return straight
        return straight - self.bend(dy, u, known) * known.scale * over_channels(known.rstd, dy)

    def bend(self, dy: Tensor, u: Tensor, known: Known) -> Tensor:
        h, q = (self.average(values * known.xhat) for values in (dy, u))
        w, s = (self.project(values, known) for values in (dy, u))
        return q * w + h * s + self.mixed(u, w, known)

    def mixed(self, u: Tensor, w: Tensor, known: Known) -> Tensor:
        return known.xhat * self.average(u * w)

    def by_weight(self, dy: Tensor, u: Tensor, known: Known) -> Tensor:
        return self.total(u * self.project(dy, known)) * known.rstd


class RecomputedBackward(DoubleBackward):
    """Statistics are computed anew in the backward, which is recorded with them: right."""

    def answer(self, dy: Tensor, *saved: Any) -> Three:
        x, weight, mean, rstd, coupled = saved
        if coupled:
            mean, var = self.statistics(self.rows(x))
            rstd = self.rstd(var)
        return self.first(dy, know(x, weight, mean, rstd, coupled))


class Tangents(DoubleBackward):
    """Forward mode written out, and gradients that can be had once: right."""

    function = Pushed


# ---- the backward is recorded, and not all of it
class StatisticsKept(DoubleBackward):
    def answer(self, dy: Tensor, *saved: Any) -> Three:
        return self.first(dy, know(*saved))


class AveragesDetached(RecomputedBackward):
    def average(self, values: Tensor) -> Tensor:
        return super().average(values).detach()


# ---- the gradients of the gradients, written out
class MixedTermMissing(DoubleBackward):
    def mixed(self, u: Tensor, w: Tensor, known: Known) -> Tensor:
        return torch.zeros_like(u)


class MixedTermByM1(DoubleBackward):
    def mixed(self, u: Tensor, w: Tensor, known: Known) -> Tensor:
        m = u.numel() // u.shape[1]
        return super().mixed(u, w, known) * (m / (m - 1))


class BentTheOtherWay(DoubleBackward):
    def bend(self, dy: Tensor, u: Tensor, known: Known) -> Tensor:
        return -super().bend(dy, u, known)


class GammaTwice(DoubleBackward):
    def by_x(self, dy: Tensor, u: Tensor, a: Tensor, known: Known) -> Tensor:
        return super().by_x(dy, u, a, replace(known, weight=known.weight.square()))


class NothingByGamma(DoubleBackward):
    def by_weight(self, dy: Tensor, u: Tensor, known: Known) -> Tensor:
        return torch.zeros_like(known.weight)


class DgammaNotFollowed(DoubleBackward):
    def by_x(self, dy: Tensor, u: Tensor, a: Tensor, known: Known) -> Tensor:
        return super().by_x(dy, u, torch.zeros_like(a), known)


class EvaluationBent(DoubleBackward):
    def by_x(self, dy: Tensor, u: Tensor, a: Tensor, known: Known) -> Tensor:
        return super().by_x(dy, u, a, replace(known, coupled=True))


# ---- forward mode
class TangentOfMeanMissing(Tangents):
    def push(self, u: Tensor, a: Tensor, b: Tensor, known: Known) -> Tensor:
        lost = self.average(u) * known.scale
        return super().push(u, a, b, known) + (lost if known.coupled else 0)


class TangentOfVarianceMissing(Tangents):
    def push(self, u: Tensor, a: Tensor, b: Tensor, known: Known) -> Tensor:
        lost = known.xhat * self.average(u * known.xhat) * known.scale
        return super().push(u, a, b, known) + (lost if known.coupled else 0)


class TangentOfGammaLost(Tangents):
    def push(self, u: Tensor, a: Tensor, b: Tensor, known: Known) -> Tensor:
        return super().push(u, torch.zeros_like(a), b, known)
