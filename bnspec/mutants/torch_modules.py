"""Wrong torch layers: forward, running statistics and evaluation. Each overrides one step of a right one."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table.py)

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm


# ---- the batch's statistics
class TailDropped(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        m = values.shape[1]
        return super().statistics(values[:, : m - m % 32] if m > 32 else values)


class EqualBlocks(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = torch.stack([block.mean(1) for block in torch.split(values, 64, dim=1)]).mean(0)
        return mean, (values - mean[:, None]).square().mean(1)


class WarpOfChannels(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = super().statistics(values)
        return mean, var[torch.arange(len(var), device=var.device) % 32]


class ChannelAxisGuessed(BatchNorm):
    def rows(self, x: Tensor) -> Tensor:
        return x.movedim(x.shape.index(self.num_features), 0).reshape(self.num_features, -1)


class FirstDepthSlice(BatchNorm):
    def rows(self, x: Tensor) -> Tensor:
        return super().rows(x[:, :, 0] if x.ndim == 5 else x)


class LeftoverSum(BatchNorm):
    leftover: float | Tensor = 0.0

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = (values.sum(1) + self.leftover) / values.shape[1]
        self.leftover = values.detach().sum(1)
        return mean, (values - mean[:, None]).square().mean(1)


class VarianceAboutRunningMean(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return values.mean(1), (values - self.running_mean[:, None]).square().mean(1)


# ---- from the statistics to y
class NormalisesWithRunning(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        self.update(x, *self.statistics(self.rows(x)))
        return self.evaluate(x)


class BatchOfOneEvaluated(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        return self.evaluate(x) if len(x) == 1 else super().on_batch(x)


class EpsOutside(BatchNorm):
    def rstd(self, var: Tensor) -> Tensor:
        return 1 / (var.sqrt() + self.eps)


class EpsAsFloor(BatchNorm):
    def rstd(self, var: Tensor) -> Tensor:
        return var.clamp(min=self.eps).rsqrt()


class ClippedAtThree(BatchNorm):
    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return super().normalise(x, mean, var).clamp(-3, 3)


class SingleInside(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.float()).to(x.dtype)


# ---- the running statistics
class BiasedStored(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        return var


class BiasedStoredForImages(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        return var if x.ndim == 4 else super().stored_variance(var, x)


class BesselOfBatchSize(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        return var * (len(x) / max(len(x) - 1, 1))


class EpsStored(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        return super().stored_variance(var, x) + self.eps


class InverseDeviationStored(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        return self.rstd(var)


class PlanOfFirstBatch(BatchNorm):
    planned_m: int | None = None

    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        self.planned_m = self.planned_m or x.numel() // x.shape[1]
        return var * (self.planned_m / (self.planned_m - 1))


class LostWithoutGradient(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if mean.requires_grad:
            super().update(x, mean, var)


class TwiceWhenRecording(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        for _ in range(2 if mean.requires_grad else 1):
            super().update(x, mean, var)


class BuffersReshaped(BatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        super().blend(name, value, weight)
        setattr(self, name, getattr(self, name).reshape(1, -1))


class BuffersShared(BatchNorm):
    pool: ClassVar[dict[tuple[str, torch.Size, torch.dtype, torch.device], Tensor]] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        for name, new in list(self.named_buffers()):
            setattr(self, name, self.pool.setdefault((name, new.shape, new.dtype, new.device), new))


class GraphKept(BatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        running: Tensor = getattr(self, name)
        with torch.enable_grad():
            setattr(self, name, ((1 - weight) * running + weight * value).to(running.dtype))


class OutputsKept(BatchNorm):
    outputs: tuple[Tensor, ...] = ()

    def forward(self, x: Tensor) -> Tensor:
        self.outputs = (*self.outputs, super().forward(x))
        return self.outputs[-1]


class MomentumOneClipped(BatchNorm):
    def weight_of_new(self) -> float:
        return 0.99 if self.momentum == 1 else super().weight_of_new()


class CountPlusOne(BatchNorm):
    def weight_of_new(self) -> float:
        return 1.0 / (int(self.num_batches_tracked) + 1) if self.momentum is None else self.momentum


class NoneIsTheDefault(BatchNorm):
    def weight_of_new(self) -> float:
        return 0.1 if self.momentum is None else self.momentum


# ---- evaluation
class CountsEvaluations(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        self.num_batches_tracked.add_(1)
        return super().evaluate(x)


class FoldedOnce(BatchNorm):
    folded: tuple[Tensor, Tensor] | None = None

    def evaluate(self, x: Tensor) -> Tensor:
        if self.folded is None:
            self.folded = self.running_mean.to(x.dtype, copy=True), self.running_var.to(x.dtype, copy=True)
        return self.transform(x, *self.folded, coupled=False)


class ScratchInverted(BatchNorm):
    scratch: Tensor | None = None

    def rstd(self, var: Tensor) -> Tensor:
        if self.training:
            return super().rstd(var)
        if self.scratch is None:
            self.scratch = var.clone()
        return self.scratch.add_(self.eps).rsqrt_().clone()


class QuantisedByBatch(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        step = x.detach().abs().amax().clamp(min=1e-30) / 2**11 if x.numel() else 1.0
        return super().evaluate(x + ((x / step).round() * step - x).detach())
