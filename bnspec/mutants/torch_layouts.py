"""Wrong torch layers that are right for contiguous batches of ordinary shape: strides, offsets, coincidences, ranks."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_layouts.py)

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept, over_channels


def is_dense_elsewise(x: Tensor) -> bool:
    """Whether x fills its memory in another order than that of its axes."""
    return not x.is_contiguous() and x.untyped_storage().nbytes() == x.nbytes


def is_channels_last(x: Tensor) -> bool:
    """Whether x, of rank 4 or 5, is stored with the channel innermost and is not contiguous as well."""
    return x.ndim >= 4 and not x.is_contiguous() and x.movedim(1, -1).is_contiguous()


# ---- strides of x
class MemoryOrderInEvaluation(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        if is_dense_elsewise(x):
            x = x.as_strided((x.numel(),), (1,), 0).view(x.shape)
        return super().evaluate(x)


class OffsetIgnored(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.as_strided(x.shape, x.stride(), 0) if x.storage_offset() else x)


class CountedInMemory(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        m = x.untyped_storage().nbytes() // x.element_size() // x.shape[1]
        return var * (m / max(m - 1, 1))


class DxInMemoryOrder(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        dx = super().dx(dy, kept, dgamma, dbeta)
        like = kept.xhat
        return dx.contiguous().as_strided(like.shape, like.stride()) if is_dense_elsewise(like) else dx


class OneChannelOfStrideOne(BatchNorm):
    """A stride of 1 along a channel axis of length 1 is no sign of channels last."""

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] == 1 and x.stride(1) == 1 and is_dense_elsewise(x):
            x = x.as_strided((x.numel(),), (1,), 0).view(x.shape)
        return super().forward(x)


class ContiguousReturned(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).contiguous()


# ---- channels last
class ChannelsLastMislabelled(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        if is_channels_last(kept.xhat):
            kept = replace(kept, xhat=kept.xhat.movedim(1, -1).reshape(kept.xhat.shape))
        return super().gradients(dy, kept)


class ChannelsLastCount(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        if not is_channels_last(x):
            return super().stored_variance(var, x)
        m = len(x) * x.shape[1]  # the channels for the positions
        return var * (m / (m - 1))


class ChannelsLastVolume(BatchNorm):
    def rows(self, x: Tensor) -> Tensor:
        return super().rows(x[:, :, 0] if x.ndim == 5 and is_channels_last(x) else x)


# ---- strides of the other arguments
class BufferCopyUpdated(BatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        running = getattr(self, name).contiguous()
        running.copy_((1 - weight) * running.to(value.dtype) + weight * value)


class DenseGamma(BatchNorm):
    def scale_and_shift(self, xhat: Tensor) -> Tensor:
        y = xhat if self.weight is None else xhat * over_channels(self.weight.as_strided((xhat.shape[1],), (1,)), xhat)
        return y if self.bias is None else y + over_channels(self.bias, y)


class UpstreamOffsetIgnored(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        return super().gradients(dy.as_strided(dy.shape, dy.stride(), 0), kept)


class ExpandedUpstreamIsConstant(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        repeated = any(stride == 0 for stride, length in zip(dy.stride(), dy.shape, strict=True) if length > 1)
        return super().gradients(dy.flatten()[0].expand(dy.shape) if repeated else dy, kept)


# ---- coincidences of the shape
class ColumnsOfOneChannel(BatchNorm):
    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        if x.shape[1] > 1 or x.ndim == 2 or not self.training:
            return super().normalise(x, mean, var)
        return (x - x.mean(0)) * self.rstd(x.var(0, correction=0))


class GammaAlongPositions(BatchNorm):
    def scale_and_shift(self, xhat: Tensor) -> Tensor:
        same = xhat.ndim > 2 and xhat.shape[2] == xhat.shape[1] > 1
        return super().scale_and_shift(xhat.transpose(1, 2)).transpose(1, 2) if same else super().scale_and_shift(xhat)


class BatchOfOneRefused(BatchNorm):
    def check(self, x: Tensor) -> None:
        super().check(x)
        if self.training and len(x) == 1:
            raise ValueError("a batch of one has no statistics")


# ---- ranks
class AxesOfRankThree(BatchNorm):
    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        if not self.training:
            return super().normalise(x, mean, var)
        axes = (0, x.ndim - 1)
        centred = x - x.mean(axes, keepdim=True)
        return centred * self.rstd(centred.square().mean(axes, keepdim=True))


class RowsUnbiased(BatchNorm):
    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return super().normalise(x, mean, var * (len(x) / (len(x) - 1)) if x.ndim == 2 and self.training else var)


class VolumesByImages(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        images = x.unbind(2) if x.ndim == 5 else (x,)
        normalised = [super(VolumesByImages, self).on_batch(image) for image in images]
        return torch.stack(normalised, dim=2) if x.ndim == 5 else normalised[0]
