"""More right torch layers: other primitives, other algebra of the same backward, other ways to keep the buffers."""

from __future__ import annotations

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept, over_channels


# ---- statistics
class VarMean(BatchNorm):
    """torch.var_mean: one primitive for both."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        if not values.numel():
            return super().statistics(values)  # where var_mean would warn
        var, mean = torch.var_mean(values, dim=1, correction=0)
        return mean, var


class MatrixSums(BatchNorm):
    """Sums as products with a vector of ones."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        m = values.shape[1]
        ones = values.new_ones(m)
        mean = values @ ones / m
        return mean, (values - mean[:, None]).square() @ ones / m


class ChannelByChannel(BatchNorm):
    """A loop over the channels."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        pairs = [super(ChannelByChannel, self).statistics(row[None]) for row in values.unbind(0)]
        return torch.cat([mean for mean, _ in pairs]), torch.cat([var for _, var in pairs])


class CorrectedTwoPass(HandBackward):
    """Two passes, and the mean and variance corrected by what the residuals sum to (Chan et al. 1983, 1.7)."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = values.mean(1)
        residual = values - mean[:, None]
        rest = residual.mean(1)
        return mean + rest, (residual.square().mean(1) - rest.square()).clamp(min=0)


class BlocksMerged(HandBackward):
    """Blocks of 64 values, merged by their counts and the spread of their means."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        m, blocks = values.shape[1], torch.split(values, 64, dim=1)
        counts = [block.shape[1] / m if m else 0.0 for block in blocks]
        means = [block.mean(1) for block in blocks]
        mean = torch.stack([c * own for c, own in zip(counts, means, strict=True)]).sum(0)
        spread = [
            c * ((block - own[:, None]).square().mean(1) + (own - mean).square())
            for c, own, block in zip(counts, means, blocks, strict=True)
        ]
        return mean, torch.stack(spread).sum(0)


class DoubleSums(HandBackward):
    """Only the sums are made in float64."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = super().statistics(values.double())
        return mean.to(values.dtype), var.to(values.dtype)


# ---- buffers and layouts
class BuffersRebound(BatchNorm):
    """Each update puts new tensors in the place of the buffers."""

    def blend(self, name: str, value: Tensor, weight: float) -> None:
        running: Tensor = getattr(self, name)
        setattr(self, name, ((1 - weight) * running.to(value.dtype) + weight * value).to(running.dtype))


class Lerp(BatchNorm):
    """torch.lerp for the blend."""

    def blend(self, name: str, value: Tensor, weight: float) -> None:
        running: Tensor = getattr(self, name)
        running.copy_(torch.lerp(running.to(value.dtype), value, weight))


class ContiguousFirst(BatchNorm):
    """A contiguous copy first, then the memory format of the input again."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x.contiguous())
        return torch.empty_like(x).copy_(y) if x.ndim in (4, 5) and not x.requires_grad else y


class Addcmul(BatchNorm):
    """y = beta + gamma xhat in one primitive."""

    def scale_and_shift(self, xhat: Tensor) -> Tensor:
        if self.weight is None or self.bias is None:
            return super().scale_and_shift(xhat)
        dtype = xhat.dtype
        weight, bias = (over_channels(p.to(dtype), xhat) for p in (self.weight, self.bias))
        return torch.addcmul(bias, xhat, weight)


# ---- the backward
class GradientsThroughVariance(HandBackward):
    """The derivation of the paper: first by xhat, then by variance and mean (Ioffe & Szegedy 2015, section 3)."""

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        if not kept.coupled:
            return super().dx(dy, kept, dgamma, dbeta)
        m, rstd = dy.numel() // dy.shape[1], over_channels(kept.rstd, dy)
        dxhat = dy * over_channels(kept.weight, dy)
        centred = kept.xhat / rstd
        dvar = over_channels(self.total(dxhat * centred), dy) * rstd**3 / -2
        dmean = over_channels(self.total(dxhat), dy) * -rstd
        return dxhat * rstd + dvar * 2 * centred / m + dmean / m


class FoldedBackward(HandBackward):
    """dx = a g + b xhat + c, three numbers per channel."""

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        if not kept.coupled:
            return super().dx(dy, kept, dgamma, dbeta)
        m, a = dy.numel() // dy.shape[1], kept.weight * kept.rstd
        b, c = -a * dgamma / m, -a * dbeta / m
        return over_channels(a, dy) * dy + over_channels(b, dy) * kept.xhat + over_channels(c, dy)


class CentredUpstream(HandBackward):
    """The upstream gradient is centred first, and then made orthogonal to xhat."""

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        if not kept.coupled:
            return super().dx(dy, kept, dgamma, dbeta)
        m = dy.numel() // dy.shape[1]
        centred = dy - over_channels(dbeta / m, dy)
        along = over_channels(self.total(centred * kept.xhat) / m, dy)
        return (centred - along * kept.xhat) * over_channels(kept.weight * kept.rstd, dy)
