"""Right torch layers by other roads: what a conformance suite must not refuse. The plainest two are in `torch_base`."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from bnspec.mutants.torch_base import BatchNorm, HandBackward, over_channels


class AnyRank(_BatchNorm):
    """torch's own module without the check that ties a class to a rank."""

    bnspec_ranks = (2, 3, 4, 5)

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  (torch's name)
        if input.ndim not in self.bnspec_ranks:
            raise ValueError(f"expected a batch of rank 2 to 5, got rank {input.ndim}")


class Folded(BatchNorm):
    """y = alpha x + shift, two numbers per channel, instead of centring first."""

    def transform(self, x: Tensor, mean: Tensor, var: Tensor, coupled: bool) -> Tensor:
        alpha, beta = self.rstd(var), 0.0 if self.bias is None else self.bias
        if self.weight is not None:
            alpha = alpha * self.weight
        return x * over_channels(alpha, x) + over_channels(beta - mean * alpha, x)


class DoubleInside(BatchNorm):
    """Everything in float64, rounded once at the end."""

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        return super().forward(x.double()).to(x.dtype)


class ChannelsLast(BatchNorm):
    """Works on a matrix of m rows with the channel last, whatever the rank."""

    def forward(self, x: Tensor) -> Tensor:
        self.check(x)
        last = x.movedim(1, -1)
        return super().forward(last.reshape(-1, last.shape[-1])).reshape(last.shape).movedim(-1, 1)


class Increments(BatchNorm):
    """running += weight (value - running) instead of the blend of two products."""

    def blend(self, name: str, value: Tensor, weight: float) -> None:
        running: Tensor = getattr(self, name)
        running.add_(weight * (value - running))


class Textbook(HandBackward):
    """E[x^2] - E[x]^2 in one pass, clamped at zero."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = values.mean(1)
        return mean, (values.square().mean(1) - mean.square()).clamp(min=0)


class ShiftedByFirst(HandBackward):
    """One pass over the distances from each channel's first value."""

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        shift = values[:, :1].sum(1)  # an empty batch has no first value
        distance = values - shift[:, None]
        mean = distance.mean(1)
        return shift + mean, (distance.square().mean(1) - mean.square()).clamp(min=0)


def wrapped(
    input: Tensor,  # noqa: A002  (torch's name)
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """`torch.nn.functional.batch_norm` behind another name."""
    return F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def composed(
    input: Tensor,  # noqa: A002  (torch's name)
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """A layer of `torch_base` made for one call, with the caller's parameters and buffers."""
    channels = next((len(given) for given in (weight, running_mean) if given is not None), input.shape[1])
    layer = BatchNorm(channels, eps, momentum, affine=False, track_running_stats=False)
    layer.weight, layer.bias = weight, bias
    if running_mean is not None and running_var is not None:
        layer.track_running_stats, layer.num_batches_tracked = True, torch.tensor(0)
        layer.running_mean, layer.running_var = running_mean, running_var
    layer.training = training
    return layer.forward(input)
