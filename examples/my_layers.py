"""Two batch norms of one's own: certify them with

bnspec certify examples/my_layers.py:FastBatchNorm
bnspec certify examples/my_layers.py:BiasedBatchNorm
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


class FastBatchNorm(nn.BatchNorm1d):
    """Folded to one multiply-add: y = alpha x + (beta - mean alpha). Right, for ranks 2 and 3."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        self.check(input)
        axes = [0, *range(2, input.ndim)]
        shape = (1, -1, *[1] * (input.ndim - 2))
        mean, var = self.running_mean, self.running_var
        if self.training or mean is None:
            mean, var = input.mean(axes), input.var(axes, unbiased=False)
            if self.running_mean is not None and input.numel():  # an empty batch has no statistics
                self.update(mean.detach(), var.detach(), input.numel() // self.num_features)
        assert var is not None
        alpha = self.weight / torch.sqrt(var + self.eps)
        return input * alpha.view(shape) + (self.bias - mean * alpha).view(shape)

    def check(self, input: Tensor) -> None:  # noqa: A002  # torch's own name
        """Refuse what cannot be normalised, before anything changes."""
        self._check_input_dim(input)
        if input.shape[1] != self.num_features or input.dtype != self.weight.dtype:
            raise ValueError(f"{self.num_features} channels of {self.weight.dtype} are wanted, not {input.shape}")
        if (self.training or self.running_mean is None) and input.numel() == self.num_features:
            raise ValueError(f"more than one value per channel is needed, not {input.shape}")

    @torch.no_grad()
    def update(self, mean: Tensor, var: Tensor, count: int) -> None:
        """Blend the statistics of a batch of `count` values per channel into the buffers, the variance unbiased."""
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        weight = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        assert self.running_mean is not None
        assert self.running_var is not None
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(self.stored(var, count), weight)

    def stored(self, var: Tensor, count: int) -> Tensor:
        """The variance that is stored: unbiased."""
        return var * count / (count - 1)


class BiasedBatchNorm(FastBatchNorm):
    """Wrong: stores the variance that it normalised with. Its outputs and gradients are right."""

    def stored(self, var: Tensor, count: int) -> Tensor:
        """The variance that is stored: biased."""
        return var
