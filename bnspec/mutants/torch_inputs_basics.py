"""Wrong torch layers that show under odd layouts and bad input. Each overrides a step or two of a right one."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_inputs.py)

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept


# ---- not finite
class NanSwallowed(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return super().statistics(values.nan_to_num())


class OneHotProduct(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return super().statistics(torch.eye(len(values), dtype=values.dtype, device=values.device) @ values)


# ---- layouts
class FlatBufferUpdate(BatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        running: Tensor = getattr(self, name)
        new = (1 - weight) * running.to(value.dtype) + weight * value
        running.as_strided((len(running),), (1,)).copy_(new)


class RowMajorDx(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        return super().dx(dy, kept, dgamma, dbeta).contiguous()


class StrideOfZeroIsScalar(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten()[0].expand_as(x) if 0 in x.stride() else x)


class FlatGammaInBackward(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        flat = kept.weight.as_strided((len(kept.weight),), (1,))
        return super().dx(dy, replace(kept, weight=flat), dgamma, dbeta)


# ---- without running statistics
class UntrackedIsInitial(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        if self.training:
            return super().on_batch(x)
        zeros = torch.zeros(self.num_features, dtype=x.dtype, device=x.device)
        return self.transform(x, zeros, zeros + 1, coupled=False)


# ---- bad input
class OneChannelBroadcast(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        if x.ndim > 1 and x.shape[1] == 1:
            x = x.expand(-1, self.num_features, *x.shape[2:])
        return super().forward(x)


class SingleAxisTaken(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.expand(2, -1))[0] if x.ndim == 1 else super().forward(x)


class IntegersTruncated(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        whole = not (x.is_floating_point() or x.is_complex())
        return super().forward(x.float()).to(x.dtype) if whole else super().forward(x)


class OneValueGivesBeta(BatchNorm):
    def check(self, x: Tensor) -> None:
        if x.numel() != self.num_features or x.shape[1:2] != (self.num_features,):
            super().check(x)

    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        return var if x.numel() == x.shape[1] else super().stored_variance(var, x)


class EmptyBatchAveraged(BatchNorm):
    @torch.no_grad()
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if x.numel():
            super().update(x, mean, var)
        else:
            self.running_mean.add_(mean)
            self.running_var.add_(var)


class UnbiasedByExamples(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        return super().stored_variance(var, x) if len(x) > 1 else var / (len(x) - 1)


class AveragesThenChecks(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.numel() == self.num_features and x.shape[1:2] == (self.num_features,):
            self.running_mean.lerp_(x.detach().flatten().to(self.running_mean.dtype), 0.1)
        return super().forward(x)


class LeavesPython(BatchNorm):
    def check(self, x: Tensor) -> None:
        try:
            super().check(x)
        except ValueError as error:
            raise SystemExit(str(error)) from error


class CountsThenChecks(BatchNorm):
    def check(self, x: Tensor) -> None:
        try:
            super().check(x)
        except (TypeError, ValueError):
            if self.training:
                self.num_batches_tracked.add_(1)
            raise
