"""Wrong torch layers that the number of threads, what was there before, or the size of an earlier batch betrays."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_surroundings.py)

from __future__ import annotations

import math
import weakref
from dataclasses import replace

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept


# ---- threads
class ThreadChunksMerged(BatchNorm):
    """Chan's merge of a chunk for each thread, which gives the last one the weight of a full one."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        threads, m = torch.get_num_threads(), values.shape[1]
        if threads == 1 or m < 4 * threads:
            return super().statistics(values)
        size = math.ceil(m / threads)
        parts = [super(ThreadChunksMerged, self).statistics(part) for part in torch.split(values, size, 1)]
        means, variances = (torch.stack(each) for each in zip(*parts, strict=True))
        mean = means.mean(0)
        return mean, (variances + (means - mean).square()).mean(0)


class IdleThreadsCount(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        share = x.shape[0] / torch.get_num_threads()
        super().update(x, mean * share if x.shape[0] > 1 and share < 1 else mean, var)


# ---- what was there before
class AddsToGradientsTwice(HandBackward):
    def dgamma(self, dy: Tensor, kept: Kept) -> Tensor:
        there = self.weight is not None and self.weight.grad is not None
        return super().dgamma(dy, kept) * (2 if there else 1)


class ReplacesTheGradient(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        dx, dgamma, dbeta = super().gradients(dy, kept)
        there = None if self.bias is None else self.bias.grad
        return dx, dgamma, dbeta if there is None else dbeta - there


class StatisticsOfTheObject(BatchNorm):
    known: tuple[weakref.ref[Tensor], Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        self.met = weakref.ref(x)
        return super().forward(x)

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        if self.known is not None and self.known[0]() is self.met():
            return self.known[1:]
        mean, var = super().statistics(values)
        self.known = self.met, mean.detach(), var.detach()
        return mean, var


class AxesOfFirstCall(BatchNorm):
    axes: int | None = None

    def rows(self, x: Tensor) -> Tensor:
        self.axes = self.axes or x.ndim
        while x.ndim > self.axes:
            x = x[..., 0]
        return super().rows(x)


class EvaluatesInTheWorkspaceOfTraining(BatchNorm):
    most: int | None = None

    def on_batch(self, x: Tensor) -> Tensor:
        self.most = max(self.most or 0, x.shape[0])
        return super().on_batch(x)

    def evaluate(self, x: Tensor) -> Tensor:
        y = super().evaluate(x)
        if self.most is None or x.shape[0] <= 2 * self.most:
            return y
        return torch.cat([y[: 2 * self.most], y[:1].expand(x.shape[0] - 2 * self.most, *y.shape[1:])])


# ---- a parameter that is not there
class ScaledOnlyWithBeta(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        kept = kept if self.bias is not None else replace(kept, weight=torch.ones_like(kept.weight))
        return super().dx(dy, kept, dgamma, dbeta)


# ---- a count that ends
class TotalInSixteenBits(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        self.total = getattr(self, "total", 0) + x.numel() // x.shape[1]
        super().update(x, mean, var)

    def weight_of_new(self) -> float:
        return 1.0 if self.momentum is None and self.total > 2**15 - 1 else super().weight_of_new()
