"""Wrong torch layers that one pass does not give away: what goes wrong lies between passes, or between layers."""

from __future__ import annotations

import copy
import weakref
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept


# ---- passes that wait for their backwards
class ScratchShared(HandBackward):
    scratch: Tensor

    def rstd(self, var: Tensor) -> Tensor:
        self.scratch = super().rstd(var)
        return self.scratch

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        return super().dx(dy, replace(kept, rstd=self.scratch.to(dy.dtype)), dgamma, dbeta)


class BuffersReadAgain(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        if not kept.coupled:
            kept = replace(kept, rstd=self.rstd(self.running_var.to(dy.dtype)))
        return super().dx(dy, kept, dgamma, dbeta)


class BatchRecognised(BatchNorm):
    seen: weakref.ref[Tensor] | None = None

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if self.seen is None or self.seen() is not x:
            super().update(x, mean, var)
        self.seen = weakref.ref(x)


class OutputReused(BatchNorm):
    output: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if y.requires_grad:
            return y
        if self.output is None or self.output.shape != y.shape or self.output.dtype != y.dtype:
            self.output = torch.empty_like(y)
        return self.output.copy_(y)


# ---- the life of a layer
class CounterUnsaved(BatchNorm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_buffer("num_batches_tracked", self.num_batches_tracked, persistent=False)


class CopyShares(BatchNorm):
    def __deepcopy__(self, memo: dict[int, Any]) -> CopyShares:
        return copy.copy(self)


class VarianceLeftBehind(BatchNorm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.running_var = self._buffers.pop("running_var")  # type: ignore[assignment]  # a plain attribute from now on


class NeverThawed(BatchNorm):
    frozen = False

    def train(self, mode: bool = True) -> NeverThawed:
        self.frozen = self.frozen or not mode
        return super().train(mode)

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if not self.frozen:
            super().update(x, mean, var)


class ResetKeepsCount(BatchNorm):
    def reset_running_stats(self) -> None:
        self.running_mean.zero_()
        self.running_var.fill_(1)
