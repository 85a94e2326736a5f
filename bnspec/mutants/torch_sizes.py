"""Wrong torch layers that are right for most sizes: two values, remainders, long batches, many channels."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_layouts.py)

from __future__ import annotations

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept


# ---- two values
class BesselOfThree(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        m = max(x.numel() // x.shape[1], 3)
        return var * (m / (m - 1))


class PairUnbiased(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = super().statistics(values)
        return (mean, var) if values.shape[1] != 2 else (mean, (values[:, 0] - values[:, 1]).square() / 2)


# ---- remainders
class HalvingTree(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.total(values)
        return mean, self.total((values - mean[:, None]).square())

    def total(self, values: Tensor) -> Tensor:
        """The mean along m by adding halves; what is left over of an odd number is lost."""
        m = values.shape[1]
        while values.shape[1] > 1:
            half = values.shape[1] // 2
            values = values[:, :half] + values[:, half : 2 * half]
        return values.sum(1) / m


class TailCopied(BatchNorm):
    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        xhat, m = super().normalise(x, mean, var), x.numel() // x.shape[1]
        if m <= 1024 or m % 1024 == 0:
            return xhat
        place = torch.arange(m, device=x.device).reshape(len(x), 1, *x.shape[2:])
        return torch.where(place < m - m % 1024, xhat, x)


class TailUncoupled(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        dx, m = super().dx(dy, kept, dgamma, dbeta), dy.numel() // dy.shape[1]
        if m <= 128 or m % 128 == 0:
            return dx
        alone = dy * (kept.weight * kept.rstd).reshape(1, -1, *[1] * (dy.ndim - 2))
        place = torch.arange(m, device=dy.device).reshape(len(dy), 1, *dy.shape[2:])
        return torch.where(place < m - m % 128, dx, alone)


# ---- long batches
class CountInHalf(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        m = torch.tensor(values.shape[1]).half().item()
        mean = values.sum(1) / m
        return mean, (values - mean[:, None]).square().sum(1) / m


class SecondLevelOfOneBlock(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.total(values) / values.shape[1]
        return mean, self.total((values - mean[:, None]).square()) / values.shape[1]

    def total(self, values: Tensor) -> Tensor:
        """Sums of blocks of 512, then the sum of no more than 64 of them."""
        return torch.stack([block.sum(1) for block in torch.split(values, 512, dim=1)[:64]]).sum(0)


class GridInTheBackward(HandBackward):
    def total(self, values: Tensor) -> Tensor:
        return self.rows(values)[:, :32768].sum(1)


class VariancesAveraged(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean, m = values.mean(1), values.shape[1]
        blocks = torch.split(values, 4096, dim=1)
        return mean, torch.stack([block.var(1, correction=0) * (block.shape[1] / m) for block in blocks]).sum(0)


class LongBatchSampled(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return super().statistics(values if values.shape[1] < 16384 else values[:, ::2])


# ---- many channels
class ChannelTailNotStored(BatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        whole = len(value) - (len(value) % 32 if len(value) > 32 else 0)
        running: Tensor = getattr(self, name)
        running[:whole] = ((1 - weight) * running.to(value.dtype) + weight * value)[:whole].to(running.dtype)


class GammaOfTheFirstThousand(BatchNorm):
    def scale_and_shift(self, xhat: Tensor) -> Tensor:
        y = super().scale_and_shift(xhat)
        if self.weight is None or xhat.shape[1] <= 1024:
            return y
        wrapped = self.weight[torch.arange(xhat.shape[1], device=xhat.device) % 1024]
        return y + xhat * (wrapped - self.weight).reshape(1, -1, *[1] * (xhat.ndim - 2))


class LastDbetaLost(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        dx, dgamma, dbeta = super().gradients(dy, kept)
        pairs = len(dbeta) - (len(dbeta) % 2 if len(dbeta) > 16 else 0)
        return dx, dgamma, torch.cat((dbeta[:pairs], torch.zeros_like(dbeta[pairs:])))
