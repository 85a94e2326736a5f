"""Wrong torch layers for which everyday numbers are right: constant channels, large offsets, NaN and infinity."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_inputs.py)

from __future__ import annotations

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept, over_channels


# ---- finite input
class NegativeVariance(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = values.mean(1)
        return mean, values.square().mean(1) - mean.square()


class DeviationSquared(BatchNorm):
    """The deviation is what is handed on, as the root of a variance that may be below zero."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = values.mean(1)
        return mean, (values.square().mean(1) - mean.square()).sqrt().square()


class RootDifferentiatedAtZero(BatchNorm):
    def rstd(self, var: Tensor) -> Tensor:
        return (var.sqrt().square() + self.eps).rsqrt()


class DeltaDividedOut(BatchNorm):
    def rstd(self, var: Tensor) -> Tensor:
        return var.rsqrt() * (var / (var + self.eps)).sqrt()


class VarianceByTheMean(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = values.mean(1)
        return mean, (values / mean[:, None] - 1).square().mean(1) * mean.square()


class OutliersDropped(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = super().statistics(values)
        kept = (values - mean[:, None]).abs() <= 8 * var.sqrt()[:, None]
        count = kept.sum(1)
        mean = torch.where(kept, values, 0).sum(1) / count
        return mean, torch.where(kept, values - mean[:, None], 0).square().sum(1) / count


# ---- NaN and infinity in x
class NanIsZero(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(torch.where(x.isnan(), 0, x))


class InfinityClamped(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.clamp(-1e4, 1e4) if x.isinf().any() else x)


class NanLeftOut(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = values.nanmean(1)
        return mean, (values - mean[:, None]).square().nanmean(1)


class NanSkipsUpdate(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if mean.isfinite().all() and var.isfinite().all():
            super().update(x, mean, var)


class NanSkipsItsChannel(BatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        super().blend(name, torch.where(value.isfinite(), value, getattr(self, name)), weight)


class NanSpreads(BatchNorm):
    """Channels are picked by a product with zeros and ones, and 0 times NaN is NaN."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        own = torch.eye(len(values), dtype=values.dtype, device=values.device)
        mean = (own @ values).mean(1)
        return mean, (own @ (values - mean[:, None]).square()).mean(1)


class NanSpreadsInEvaluation(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        y = super().evaluate(x)
        return y * (1 + 0 * x.detach().sum((0, *range(2, x.ndim)), keepdim=True))


class NanZeroInEvaluation(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        y = super().evaluate(x)
        return torch.where(y.isnan(), 0, y)


class InfinityIsNanInEvaluation(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        shift = over_channels(self.running_mean.to(x.dtype), x)
        return super().evaluate(x + (shift - x) * 0)


# ---- NaN in g
class UpstreamNanIsZero(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        return super().gradients(dy.nan_to_num(), kept)


class UpstreamNanKeptOutOfSums(HandBackward):
    def total(self, values: Tensor) -> Tensor:
        return self.rows(values).nansum(1)


class UpstreamNanSpreads(HandBackward):
    """dx is scaled down where its norm is beyond 1e30, which no finite case comes near."""

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        dx = super().dx(dy, kept, dgamma, dbeta)
        return dx * (1e30 / dx.square().sum().sqrt()).clamp(max=1)
