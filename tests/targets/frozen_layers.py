"""Layers whose conventions leave something out, right and wrong."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Frozen(nn.Module):
    """The detection libraries' layer for fine-tuning: four buffers that never change, folded to one multiply-add."""

    bnspec_dialect = "timm-frozen"
    bnspec_ranks = (4,)
    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        for name, value in {"weight": 1.0, "bias": 0.0, "running_mean": 0.0, "running_var": 1.0}.items():
            self.register_buffer(name, torch.full((num_features,), value))

    def forward(self, x: Tensor) -> Tensor:
        if x.ndim != 4 or x.shape[1] != len(self.weight) or not x.is_floating_point():
            raise ValueError(f"(N, {len(self.weight)}, H, W) of floating point is wanted, not {tuple(x.shape)}")
        scale = self.weight * (self.running_var + self.eps).rsqrt()
        return x * scale.view(1, -1, 1, 1) + (self.bias - self.running_mean * scale).view(1, -1, 1, 1)


class FreshIsIdentity(Frozen):
    """detectron2's: rv starts at 1 - eps, so that a new layer is the identity."""

    bnspec_dialect = "detectron2-frozen"

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__(num_features, eps)
        self.running_var -= eps


class NearlyIdentity(FreshIsIdentity):
    """The same of an eps that another layer had."""

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__(num_features, eps)
        self.running_var += eps - 1e-5


class Drifts(Frozen):
    """Frozen, but for a mean that decays."""

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.training:
            self.running_mean.mul_(0.999)
        return y


class WithoutEps(Frozen):
    """Frozen, its eps forgotten."""

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__(num_features, 0.0)


class DeclaresMomentum(Frozen):
    """Frozen under a dialect that wants to know its momentum."""

    bnspec_momentum = 0.1


class CountsTwice(nn.BatchNorm1d):
    """Averages with the weight 1/(k + 1)."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features, momentum=None)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return super().forward(x)
