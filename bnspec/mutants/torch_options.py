"""Wrong torch layers that are right at the defaults: eps, momentum, options, new parameters, a first few batches."""

# ruff: noqa: D101, D103  (what is wrong with each stands in bnspec/mutants/table_options.py)

from __future__ import annotations

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept, over_channels
from bnspec.mutants.torch_functions import Call, functional


# ---- eps
class EpsAtLeast(BatchNorm):
    def rstd(self, var: Tensor) -> Tensor:
        return torch.rsqrt(var + max(self.eps, 1e-5))


class EpsFromVariance(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        return super().stored_variance(self.rstd(var) ** -2, x)


class DeviationStored(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        return super().stored_variance(var, x).sqrt()


@functional
def eps_at_least_in_evaluation(call: Call) -> Tensor:
    return call.run() if call.training else call.but(eps=max(call.eps, 1e-5))


# ---- momentum and the average
class VarianceMomentumSwapped(BatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        super().blend(name, value, 1 - weight if name == "running_var" else weight)


class ReplacedByBiased(BatchNorm):
    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        return var if self.momentum == 1 else super().stored_variance(var, x)


class AverageOfAFewBatches(BatchNorm):
    def weight_of_new(self) -> float:
        return max(super().weight_of_new(), 0.25) if self.momentum is None else self.momentum


class AverageByExamples(BatchNorm):
    """Weighs by N: the examples seen stand beside the counter."""

    examples = 0

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        self.here = len(x)
        self.examples = self.here + (self.examples if int(self.num_batches_tracked) else 0)
        super().update(x, mean, var)

    def weight_of_new(self) -> float:
        return self.here / self.examples if self.momentum is None else self.momentum


class RunningAfterTenBatches(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        y = super().on_batch(x)
        return self.evaluate(x) if self.track_running_stats and int(self.num_batches_tracked) > 10 else y


# ---- evaluation
class UntrainedIsIdentity(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        if int(self.num_batches_tracked):
            return super().evaluate(x)
        zeros = torch.zeros(self.num_features, dtype=x.dtype, device=x.device)
        return self.transform(x, zeros, zeros + 1, coupled=False)


class InitialWithoutStatistics(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        if self.training or self.track_running_stats:
            return super().on_batch(x)
        zeros = torch.zeros(self.num_features, dtype=x.dtype, device=x.device)
        return self.transform(x, zeros, zeros + 1, coupled=False)


class LastBatchWithoutStatistics(BatchNorm):
    last: tuple[Tensor, Tensor] | None = None

    def on_batch(self, x: Tensor) -> Tensor:
        if not self.training and not self.track_running_stats and self.last is not None:
            mean, var = self.last
            return self.transform(x, mean.to(x.dtype), var.to(x.dtype), coupled=False)
        mean, var = self.statistics(self.rows(x))
        self.last = mean.detach(), var.detach()
        return super().on_batch(x)


@functional
def gamma_left_out_in_evaluation(call: Call) -> Tensor:
    return call.run() if call.training or call.weight is None else call.but(weight=1 + 0 * call.weight)


@functional
def beta_left_out_in_training(call: Call) -> Tensor:
    return call.but(bias=0 * call.bias) if call.training and call.bias is not None else call.run()


# ---- what a channel or an example has to do with others
class GhostBatches(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        if len(x) <= 16:
            return super().on_batch(x)
        parts = [self.transform(part, *self.statistics(self.rows(part)), coupled=True) for part in torch.split(x, 16)]
        super().on_batch(x)
        return torch.cat(parts)


class FloorByTheLargest(BatchNorm):
    def rstd(self, var: Tensor) -> Tensor:
        return super().rstd(torch.maximum(var, 1e-2 * var.detach().amax()))


class SquashedByTanh(BatchNorm):
    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return 4 * torch.tanh(super().normalise(x, mean, var) / 4)


# ---- gradients
class ProjectedFully(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        if kept.coupled:
            m = dy.numel() // dy.shape[1]
            length = self.total(kept.xhat.square())
            dgamma = torch.where(length == 0, 0, dgamma * m / length)
        return super().dx(dy, kept, dgamma, dbeta)


class GammaDividedOut(HandBackward):
    def dgamma(self, dy: Tensor, kept: Kept) -> Tensor:
        return self.total(dy * kept.xhat * over_channels(kept.weight, dy)) / kept.weight


class AbsoluteGammaInBackward(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        scale = kept.weight.sign()
        return super().dx(dy, kept, dgamma, dbeta) * over_channels(torch.where(scale == 0, 1, scale), dy)


class ZerosSkipped(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        if not kept.coupled:
            return super().dx(dy, kept, dgamma, dbeta)
        used = self.total((dy != 0).to(dy.dtype)).clamp(min=1) / (dy.numel() // dy.shape[1])
        return super().dx(dy, kept, dgamma / used, dbeta / used)


class MeanOverBatchAlone(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        positions = dy.numel() // dy.shape[1] // max(len(dy), 1)
        return super().dx(dy, kept, dgamma, dbeta * positions)


class XAloneIsFrozen(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        if kept.coupled and kept.needs == (True, False, False):
            return dy * over_channels(kept.weight * kept.rstd, dy)
        return super().dx(dy, kept, dgamma, dbeta)


class BetaNeedsGamma(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        dx, dgamma, dbeta = super().gradients(dy, kept)
        return dx, dgamma, dbeta if kept.needs[1] else torch.zeros_like(dbeta)
