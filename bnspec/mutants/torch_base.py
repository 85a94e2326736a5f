"""Right batch norms for torch, cut into small steps: a wrong one overrides a single step.

`BatchNorm` leaves the backward to autograd; `HandBackward` writes it out. Both follow `torch.nn.BatchNorm*`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def over_channels(values: Tensor, x: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, ...), so that it broadcasts over a batch x with the channel on axis 1."""
    return values.reshape(1, -1, *[1] * (x.ndim - 2))


class BatchNorm(nn.Module):
    """Composed of torch operations; constructor, attributes and conventions of `torch.nn.BatchNorm*`, ranks 2 to 5.

    Half precision is accumulated in float32. Raises ValueError for a wrong rank or channel count and for one value
    per channel in training, TypeError for a batch that is not floating point.
    """

    bnspec_ranks = (2, 3, 4, 5)
    weight: Tensor | None
    bias: Tensor | None
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_features, self.eps, self.momentum = num_features, eps, momentum
        self.affine, self.track_running_stats = affine, track_running_stats
        ones, zeros = (f(num_features, device=device, dtype=dtype) for f in (torch.ones, torch.zeros))
        self.weight = nn.Parameter(ones) if affine else None
        self.bias = nn.Parameter(zeros) if affine and bias else None
        tracked = track_running_stats
        self.register_buffer("running_mean", torch.zeros_like(zeros) if tracked else None)
        self.register_buffer("running_var", torch.ones_like(ones) if tracked else None)
        self.register_buffer("num_batches_tracked", torch.tensor(0, device=device) if tracked else None)

    def reset_running_stats(self) -> None:
        """The running statistics and the counter as they were at first."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        work = x.to(torch.promote_types(x.dtype, torch.float32))
        y = self.on_batch(work) if self.normalises_with_batch() else self.evaluate(work)
        return y.to(x.dtype)

    def check(self, x: Tensor) -> None:
        if x.ndim not in self.bnspec_ranks or x.shape[1] != self.num_features:
            raise ValueError(f"expected (N, {self.num_features}, ...) of rank 2 to 5, got {tuple(x.shape)}")
        if not x.is_floating_point():
            raise TypeError(f"expected a floating-point batch, got {x.dtype}")
        if self.normalises_with_batch() and x.numel() == self.num_features:
            raise ValueError(f"expected more than one value per channel in training, got {tuple(x.shape)}")

    def normalises_with_batch(self) -> bool:
        return self.training or not self.track_running_stats

    def on_batch(self, x: Tensor) -> Tensor:
        """Normalise with the batch's own statistics and, in training, update the running ones."""
        mean, var = self.statistics(self.rows(x))
        y = self.transform(x, mean, var, coupled=True)
        if self.training and self.track_running_stats:
            self.update(x, mean, var)
        return y

    def evaluate(self, x: Tensor) -> Tensor:
        return self.transform(x, self.running_mean.to(x.dtype), self.running_var.to(x.dtype), coupled=False)

    def rows(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> (C, m), what the statistics are taken over."""
        return x.transpose(0, 1).reshape(x.shape[1], -1)

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of (C, m) along m."""
        mean = values.mean(1)
        return mean, (values - mean[:, None]).square().mean(1)

    def transform(self, x: Tensor, mean: Tensor, var: Tensor, coupled: bool) -> Tensor:
        """From x to y; `coupled` says whether mean and var are functions of x."""
        return self.scale_and_shift(self.normalise(x, mean, var))

    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return (x - over_channels(mean, x)) * over_channels(self.rstd(var), x)

    def rstd(self, var: Tensor) -> Tensor:
        return torch.rsqrt(var + self.eps)

    def scale_and_shift(self, xhat: Tensor) -> Tensor:
        y = xhat if self.weight is None else xhat * over_channels(self.weight, xhat)
        return y if self.bias is None else y + over_channels(self.bias, y)

    @torch.no_grad()
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        """One update of the running statistics; an empty batch only counts."""
        self.num_batches_tracked.add_(1)
        if x.numel():
            weight = self.weight_of_new()
            self.blend("running_mean", mean, weight)
            self.blend("running_var", self.stored_variance(var, x), weight)

    def weight_of_new(self) -> float:
        return 1.0 / int(self.num_batches_tracked) if self.momentum is None else self.momentum

    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        m = x.numel() // x.shape[1]
        return var * (m / (m - 1))

    def blend(self, name: str, value: Tensor, weight: float) -> None:
        running: Tensor = getattr(self, name)
        running.copy_((1 - weight) * running.to(value.dtype) + weight * value)


@dataclass(frozen=True)
class Kept:
    """What a forward keeps: xhat in the shape of x, the rest per channel; `needs`: do x, gamma and beta ask."""

    xhat: Tensor
    rstd: Tensor
    weight: Tensor
    coupled: bool
    needs: tuple[bool, bool, bool]


class Transform(torch.autograd.Function):
    """y = gamma xhat + beta with the gradients that its layer writes out; differentiable once."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        x, weight, _, mean, rstd, layer, coupled = inputs
        xhat = (x - over_channels(mean, x)) * over_channels(rstd, x)
        ctx.save_for_backward(xhat, rstd, weight)
        ctx.layer, ctx.coupled = layer, coupled
        y: Tensor = layer.scale_and_shift(xhat)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        xhat, rstd, weight = ctx.saved_tensors
        ones = torch.ones_like(rstd) if weight is None else weight
        kept = Kept(xhat, rstd, ones, ctx.coupled, ctx.needs_input_grad[:3])
        gradients = ctx.layer.gradients(dy, kept)
        return *(g if needed else None for g, needed in zip(gradients, kept.needs, strict=True)), None, None, None, None


class HandBackward(BatchNorm):
    """The same layer with its gradients written out: spec G1 in training, G2 in evaluation."""

    def transform(self, x: Tensor, mean: Tensor, var: Tensor, coupled: bool) -> Tensor:
        rstd = self.rstd(var.detach())
        y: Tensor = Transform.apply(  # type: ignore[no-untyped-call]  # torch leaves `apply` untyped
            x, self.weight, self.bias, mean.detach(), rstd, self, coupled
        )
        return y

    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        """dx in the shape of x, dgamma and dbeta in (C,)."""
        dgamma, dbeta = self.dgamma(dy, kept), self.total(dy)
        return self.dx(dy, kept, dgamma, dbeta), dgamma, dbeta

    def total(self, values: Tensor) -> Tensor:
        """(N, C, ...) -> (C,), summed over batch and positions."""
        return self.rows(values).sum(1)

    def dgamma(self, dy: Tensor, kept: Kept) -> Tensor:
        return self.total(dy * kept.xhat)

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        scale = over_channels(kept.weight * kept.rstd, dy)
        if not kept.coupled:
            return dy * scale
        m = dy.numel() // dy.shape[1]
        return (dy - over_channels(dbeta / m, dy) - kept.xhat * over_channels(dgamma / m, dy)) * scale
