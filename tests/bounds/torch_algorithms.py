"""Right passes in torch: its own kernels, and the forward written out and left to autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from numpy.typing import NDArray
from torch import Tensor

from tests.bounds.batches import Batch
from tests.mutant_stage import from_numpy, to_numpy

Array = NDArray[Any]


def enter(values: Array | None) -> Tensor:
    """A tensor of the same values, of its own memory; half precision too."""
    assert values is not None
    return from_numpy(values).clone()


def leave(values: Tensor) -> Array:
    return np.asarray(to_numpy(values.detach().contiguous()))


def run_torch(b: Batch, layout: str, momentum: float = 0.3, *, training: bool = True) -> dict[str, Array]:
    """F.batch_norm; `layout` of x and dy, or "sliced": every second column of a wider dy, on which kernels differ."""
    form = torch.channels_last if layout == "channels last" else torch.contiguous_format
    x, dy = (enter(b.native(v)).contiguous(memory_format=form) for v in (b.x, b.dy))
    if layout == "sliced":
        dy = torch.stack([dy, dy], dim=-1)[..., 0]
    s = b.state
    gamma, beta, mean, var = (enter(v) for v in (s.gamma, s.beta, s.running_mean, s.running_var))
    leaves = [t.requires_grad_() for t in (x, gamma, beta)]
    y = F.batch_norm(x, mean, var, gamma, beta, training, momentum, b.eps)
    dx, dgamma, dbeta = (leave(g) for g in torch.autograd.grad(y, leaves, dy))
    found = {"y": b.flat(leave(y)), "dx": b.flat(dx), "dgamma": dgamma, "dbeta": dbeta}
    return found | {"running_mean": leave(mean), "running_var": leave(var)} if training else found


def run_composed(b: Batch, divides_by: int, form: str) -> dict[str, Array]:
    """The forward written out in torch, differentiated by recording, through mean and variance and all.

    x in half precision is computed on in the dtype of gamma, and y rounded to its own.
    """
    given, gamma, beta = (enter(v).requires_grad_() for v in (b.x, b.state.gamma, b.state.beta))
    x = given.to(gamma.dtype)
    mean = x.mean(1, keepdim=True)
    if form == "textbook":
        biased = ((x * x).mean(1, keepdim=True) - mean * mean).clamp(min=0)
    else:
        biased = ((x - mean) ** 2).mean(1, keepdim=True)
    rstd = torch.rsqrt(biased * (x.shape[1] / divides_by) + b.eps)
    if form == "folded":
        alpha = gamma[:, None] * rstd
        y = x * alpha + (beta[:, None] - mean * alpha)
    else:
        y = (x - mean) * rstd * gamma[:, None] + beta[:, None]
    y = y.to(given.dtype)
    dx, dgamma, dbeta = (leave(g) for g in torch.autograd.grad(y, (given, gamma, beta), enter(b.dy)))
    return {"y": leave(y), "dx": dx, "dgamma": dgamma, "dbeta": dbeta}
