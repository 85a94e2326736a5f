"""What torch makes of its batch norms: replaced, synchronised, scripted."""

from __future__ import annotations

import warnings

import torch
from torch import nn


def replaced(num_features: int, eps: float = 1e-5) -> nn.Module:
    """torch.func.replace_all_batch_norm_modules_: buffers are removed, so that the batch normalises in either mode."""
    layer = nn.BatchNorm2d(num_features, eps=eps)
    torch.func.replace_all_batch_norm_modules_(layer)
    return layer


def synchronised(num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> nn.Module:
    """nn.SyncBatchNorm.convert_sync_batchnorm, in one process."""
    plain = nn.BatchNorm2d(num_features, eps=eps, momentum=momentum)
    found: nn.Module = nn.SyncBatchNorm.convert_sync_batchnorm(plain)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return found


def scripted(num_features: int, eps: float = 1e-5, momentum: float | None = 0.1) -> nn.Module:
    """torch.jit.script, which torch has deprecated."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: nn.Module = torch.jit.script(nn.BatchNorm2d(num_features, eps=eps, momentum=momentum))
    return found
