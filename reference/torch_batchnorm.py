"""The seed's BatchNorm1d made sound: the same interface, composed of differentiable torch operations.

What differs from the seed's class (`seed_batchnorm` keeps that one as it was):

- a channel is axis 1 of a batch of any rank from 2 on, and every other axis is averaged over;
- the buffers keep their shape (C,), and no autograd history hangs on them;
- gamma and beta require a gradient from the start;
- a batch that cannot be normalised is refused, and a refusal changes nothing;
- half precision is computed in float32.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# The input dtypes on offer, each with the dtype of the arithmetic.
WORKING = {
    torch.float16: torch.float32,
    torch.bfloat16: torch.float32,
    torch.float32: torch.float32,
    torch.float64: torch.float64,
}


class BatchNorm1d:
    """Batch normalisation over axis 1: y = gamma * (x - mean) / sqrt(var + eps) + beta.

    `unbiased` chooses the variance that normalises in training: divided by m - 1 (the seed's choice) or by m, as
    torch.nn and Ioffe & Szegedy 2015 have it; the stored one is always divided by m - 1. `momentum` is the weight of
    the newest batch in the buffers, None the plain average over all `batches` so far.

    Parameters and buffers, all of shape (C,), stay on `device` and in `dtype`; y has the dtype of x. Plain tensors
    may be assigned to any of them. `training` chooses between the batch's statistics and the running ones.
    `out` is the latest output, with the graph of that pass: it stays alive until the next call or `del layer.out`.
    """

    # The suite reads these from the class, so that this file need not import it.
    bnspec_dialect = "makemore"
    bnspec_ranks = (2, 3, 4, 5)

    out: Tensor

    def __init__(
        self,
        dim: int,
        momentum: float | None = 0.1,
        eps: float = 1e-5,
        *,
        unbiased: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        """Raises ValueError for eps <= 0 and for a momentum outside [0, 1]."""
        if not eps > 0:
            raise ValueError(f"eps is {eps}: a number above 0 is needed, or a constant channel divides by 0")
        if not (momentum is None or 0 <= momentum <= 1):
            raise ValueError(f"momentum is {momentum}: a weight in [0, 1] is needed, or None for the plain average")
        self.dim = dim
        self.momentum = momentum
        self.eps = eps
        self.unbiased = unbiased
        self.training = True
        self.gamma = torch.ones(dim, device=device, dtype=dtype, requires_grad=True)
        self.beta = torch.zeros(dim, device=device, dtype=dtype, requires_grad=True)
        self.running_mean = torch.zeros(dim, device=device, dtype=dtype)
        self.running_var = torch.ones(dim, device=device, dtype=dtype)
        self.batches = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise x, shape (N, C, D1, ..., Dk); training updates the buffers once, by assigning new tensors.

        An empty batch gives an empty output and updates nothing.
        Raises ValueError, and changes nothing, where x is not of a dtype in `WORKING`, has not rank >= 2 or not C
        channels, and in training where a channel has a single value.
        """
        self._check(x)
        values = x.to(WORKING[x.dtype])
        axes = [0, *range(2, x.ndim)]
        m = x.numel() // self.dim

        def along_channels(vector: Tensor) -> Tensor:
            return vector.to(values.dtype).reshape(1, -1, *[1] * (x.ndim - 2))

        training = self.training and m > 0  # no values, no statistics: an empty batch passes as in evaluation
        if training:
            mean = values.mean(axes, keepdim=True)
            centred = values - mean
            squares = centred.square().sum(axes, keepdim=True)  # of centred values: no cancellation at large means
            unbiased_var = squares / (m - 1)
            var = unbiased_var if self.unbiased else squares / m
        else:
            centred = values - along_channels(self.running_mean)
            var = along_channels(self.running_var)
        xhat = centred / torch.sqrt(var + self.eps)
        y = (along_channels(self.gamma) * xhat + along_channels(self.beta)).to(x.dtype)
        if training:
            self._update(mean.detach().flatten(), unbiased_var.detach().flatten())
        self.out = y
        return y

    def parameters(self) -> tuple[Tensor, Tensor]:
        """What an optimiser trains: gamma and beta."""
        return self.gamma, self.beta

    def __getstate__(self) -> dict[str, Any]:
        """Copies and pickles leave the latest output behind: torch copies no tensor that has a graph."""
        return {name: value for name, value in vars(self).items() if name != "out"}

    def _check(self, x: Tensor) -> None:
        if x.dtype not in WORKING:
            raise ValueError(f"x has dtype {x.dtype}: one of {', '.join(map(str, WORKING))} is needed; convert it")
        if x.ndim < 2:
            raise ValueError(f"x has shape {tuple(x.shape)}: (N, C) or (N, C, D1, ...) is needed, channel on axis 1")
        if x.shape[1] != self.dim:
            raise ValueError(f"x has shape {tuple(x.shape)}, {x.shape[1]} channels: the layer has {self.dim}")
        if self.training and x.numel() == self.dim:
            raise ValueError(f"x has shape {tuple(x.shape)}, one value per channel: training needs two for a variance")

    def _update(self, mean: Tensor, var: Tensor) -> None:
        batches = self.batches + 1
        weight = 1 / batches if self.momentum is None else self.momentum
        # Buffers made under inference mode could never again take part in a graph.
        with torch.inference_mode(False), torch.no_grad():
            running_mean = _blend(self.running_mean, mean, weight)
            running_var = _blend(self.running_var, var, weight)
        self.running_mean, self.running_var, self.batches = running_mean, running_var, batches


def _blend(old: Tensor, new: Tensor, weight: float) -> Tensor:
    """The average of a buffer and a batch's statistic, in the wider dtype of the two; a new tensor of the buffer's."""
    wide = torch.promote_types(old.dtype, new.dtype)
    return ((1 - weight) * old.to(wide) + weight * new.to(wide)).to(old.dtype)
