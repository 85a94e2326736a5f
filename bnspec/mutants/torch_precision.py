"""Wrong torch layers that are right in float32: sums, statistics or constants in a format that is too small."""

# ruff: noqa: D101, D103  (what is wrong with each stands in bnspec/mutants/table_precision.py)

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept, over_channels
from bnspec.mutants.torch_functions import Call, functional


# ---- low precision: `storage` is the dtype of the batch, in which a step is made that belongs into float32
class LowBatchNorm(BatchNorm):
    """Right; knows the dtype of the batch that it computes on in float32 at least."""

    storage = torch.float32

    def forward(self, x: Tensor) -> Tensor:
        self.storage = x.dtype
        return super().forward(x)

    def is_low(self) -> bool:
        return self.storage in (torch.float16, torch.bfloat16)

    def stored(self, values: Tensor) -> Tensor:
        """Rounded to the dtype of the batch."""
        return values.to(self.storage).to(values.dtype)

    def summed(self, values: Tensor) -> Tensor:
        """(C, m) -> (C,), added up in the dtype of the batch, in lanes of up to 4096 values."""
        if not self.is_low():
            return values.sum(1)
        lanes = torch.split(values.to(self.storage), max(1, -(-values.shape[1] // 4096)), dim=1)
        total = torch.zeros_like(lanes[0])
        for lane in lanes:
            total[:, : lane.shape[1]] += lane
        return total.sum(1).to(values.dtype)


class LowHandBackward(HandBackward, LowBatchNorm):
    """Right, too."""


class SumsInStorage(LowBatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        m = values.shape[1]
        mean = self.summed(values) / m
        return mean, self.summed((values - mean[:, None]).square()) / m


class SquaresInStorage(LowBatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = values.mean(1)
        return mean, self.summed((values - mean[:, None]).square()) / values.shape[1]


class MeanInStorage(LowBatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = self.stored(values.mean(1))
        return mean, (values - mean[:, None]).square().mean(1)


class VarianceInHalf(LowBatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = super().statistics(values)
        return mean, self.stored(var) if self.storage is torch.float16 else var


class CountInStorage(LowBatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        m = self.stored(torch.tensor(float(values.shape[1]), dtype=values.dtype, device=values.device))
        mean = values.sum(1) / m
        return mean, (values - mean[:, None]).square().sum(1) / m


class EpsInStorage(LowBatchNorm):
    def rstd(self, var: Tensor) -> Tensor:
        return (var + self.stored(torch.tensor(self.eps, dtype=var.dtype, device=var.device))).rsqrt()


class RunningInStorage(LowBatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        super().blend(name, value, weight)
        running: Tensor = getattr(self, name)
        running.copy_(self.stored(running))


class LowBuffersNotWritten(LowBatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        running: Tensor = getattr(self, name).to(value.dtype)
        running.copy_((1 - weight) * running + weight * value)


class BuffersTakeDtypeOfBatch(LowBatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        super().blend(name, value, weight)
        setattr(self, name, getattr(self, name).to(self.storage))


class ParametersTakeDtypeOfBatch(LowBatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        for parameter in (self.weight, self.bias):
            if isinstance(parameter, nn.Parameter) and x.is_floating_point():
                parameter.data = parameter.data.to(x.dtype)
        return super().forward(x)


class RunningVarianceReadInHalf(LowBatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        var = self.running_var.half() if self.storage is torch.float16 else self.running_var
        return self.transform(x, self.running_mean.to(x.dtype), var.to(x.dtype), coupled=False)


class GradientsReducedInStorage(LowHandBackward):
    def total(self, values: Tensor) -> Tensor:
        return self.summed(self.rows(values))


class DgammaReducedInStorage(LowHandBackward):
    def dgamma(self, dy: Tensor, kept: Kept) -> Tensor:
        return self.summed(self.rows(dy * kept.xhat))


class LowReturnedWide(BatchNorm):
    bnspec_dtypes = ("float32", "float64", "float16", "bfloat16")

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(torch.promote_types(x.dtype, torch.float32)))


# ---- float64 alone: a step is made in float32
class BackwardInSingle(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        narrow = replace(kept, xhat=kept.xhat.float(), rstd=kept.rstd.float(), weight=kept.weight.float())
        dx, dgamma, dbeta = super().gradients(dy.float(), narrow)
        return dx.to(dy.dtype), dgamma.to(dy.dtype), dbeta.to(dy.dtype)


class DgammaInSingle(HandBackward):
    def dgamma(self, dy: Tensor, kept: Kept) -> Tensor:
        return super().dgamma(dy.float(), replace(kept, xhat=kept.xhat.float())).to(dy.dtype)


class RunningInSingle(BatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        super().blend(name, value.float(), weight)


class MeanInSingle(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean = values.mean(1).float().to(values.dtype)
        return mean, (values - mean[:, None]).square().mean(1)


class RstdInSingle(BatchNorm):
    def rstd(self, var: Tensor) -> Tensor:
        return super().rstd(var).float().to(var.dtype)


class EvaluationInSingle(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        return super().evaluate(x.float()).to(x.dtype)


class ParametersInSingle(BatchNorm):
    def scale_and_shift(self, xhat: Tensor) -> Tensor:
        y = xhat if self.weight is None else xhat * over_channels(self.weight.float(), xhat)
        return y if self.bias is None else y + over_channels(self.bias.float(), y)


@functional
def eps_in_single(call: Call) -> Tensor:
    return call.but(eps=torch.tensor(call.eps, dtype=torch.float32).item())


@functional
def momentum_in_single(call: Call) -> Tensor:
    return call.but(momentum=torch.tensor(call.momentum, dtype=torch.float32).item())
