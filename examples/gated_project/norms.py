"""The batch norms of this project. One of them has a fault, which the gate finds."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class FoldedBatchNorm(nn.BatchNorm1d):
    """Evaluation folded to one multiply-add, as inference engines do it; training is torch's own. Right."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        if self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        self._check_input_dim(input)
        if input.shape[1] != self.num_features or input.dtype != self.running_mean.dtype:
            raise ValueError(f"{self.num_features} channels of {self.running_mean.dtype} are wanted")
        scale = torch.rsqrt(self.running_var + self.eps)
        scale = scale if self.weight is None else self.weight * scale
        shift = 0 if self.bias is None else self.bias
        shape = (1, -1, *[1] * (input.ndim - 2))
        return input * scale.view(shape) + (shift - self.running_mean * scale).view(shape)


class LeanBatchNorm(nn.BatchNorm1d):
    """Normalises by torch's function and keeps the running statistics itself. Wrong: see `update`."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        if not self.training or self.running_mean is None or not input.numel():
            return super().forward(input)
        self._check_input_dim(input)
        if input.shape[1] != self.num_features:
            raise ValueError(f"{self.num_features} channels are wanted, not {input.shape[1]}")
        y = functional.batch_norm(input, None, None, self.weight, self.bias, training=True, eps=self.eps)
        self.update(input.detach())
        return y

    @torch.no_grad()
    def update(self, input: Tensor) -> None:  # noqa: A002  # torch's own name
        """Blend the statistics of a batch into the buffers."""
        self.num_batches_tracked += 1
        weight = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        var, mean = torch.var_mean(input, [0, *range(2, input.ndim)], correction=0)
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(var, weight)
