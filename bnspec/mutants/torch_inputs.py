"""Wrong torch layers that are right for ordinary input: what they make of bad input, of one value and of none."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_inputs.py)

from __future__ import annotations

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm


# ---- channels and ranks
class OneChannelBroadcast(BatchNorm):
    def check(self, x: Tensor) -> None:
        super().check(x.expand(-1, self.num_features, *x.shape[2:]) if x.ndim > 1 and x.shape[1] == 1 else x)


class LayerOfOneBroadcast(BatchNorm):
    def check(self, x: Tensor) -> None:
        super().check(x[:, :1] if self.num_features == 1 and x.ndim > 1 and x.shape[1] > 1 else x)


class MoreChannelsCut(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[:, : self.num_features] if x.ndim > 1 else x)


class FewerChannelsPadded(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        channels = x.shape[1] if x.ndim > 1 else self.num_features
        if channels >= self.num_features:
            return super().forward(x)
        padding = x.new_zeros((len(x), self.num_features - channels, *x.shape[2:]))
        return super().forward(torch.cat((x, padding), dim=1))[:, :channels]


class ResizedToInput(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        if x.ndim > 1 and x.shape[1] != self.num_features:
            self.__init__(x.shape[1], self.eps, self.momentum, dtype=x.dtype)  # type: ignore[misc]  # that is the mistake
        return super().forward(x)


class UnbatchedAccepted(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x[None])[0] if x.ndim == 1 else super().forward(x)


# ---- dtypes
class IntegersTruncated(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        whole = x.dtype in (torch.int32, torch.int64)
        return super().forward(x.to(self.running_mean.dtype)).to(x.dtype) if whole else super().forward(x)


class RealPartTaken(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.real if x.is_complex() else x)


# ---- one value per channel
class OneValueAccepted(BatchNorm):
    def check(self, x: Tensor) -> None:
        one = self.training and x.numel() == self.num_features
        super().check(torch.cat((x, x)) if one else x)

    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        m = torch.tensor(float(x.numel() // x.shape[1]), dtype=var.dtype, device=var.device)
        return var * (m / (m - 1))


class OneValueReturnsBeta(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        one = self.training and x.ndim > 1 and x.numel() == x.shape[1] == self.num_features
        return super().forward(torch.cat((x, x)))[:1] if one else super().forward(x)


class OneValueEvaluated(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        one = self.training and x.ndim > 1 and x.numel() == x.shape[1] == self.num_features
        return self.evaluate(x) if one else super().forward(x)


class OneValueRefusedInEvaluation(BatchNorm):
    def check(self, x: Tensor) -> None:
        super().check(x)
        if x.numel() == self.num_features:
            raise ValueError("expected more than one value per channel")


# ---- empty batches
class EmptyBatchAveraged(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        super().update(x, mean, var)
        if not x.numel():
            self.blend("running_mean", mean, self.weight_of_new())
            self.blend("running_var", torch.zeros_like(mean), self.weight_of_new())


class EmptyBatchDecays(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        super().update(x, mean, var)
        if not x.numel():
            for name in ("running_mean", "running_var"):
                self.blend(name, torch.zeros_like(mean), self.weight_of_new())


class EmptyBatchLosesShape(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) if x.numel() else x.new_zeros((0, self.num_features))


class EmptyBatchRefusedInEvaluation(BatchNorm):
    def check(self, x: Tensor) -> None:
        super().check(x)
        if not self.training and not x.numel():
            raise ValueError("expected at least one example")


# ---- refusals
class RefusedAfterUpdate(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        one = self.training and x.ndim > 1 and x.numel() == x.shape[1] == self.num_features
        if one:
            self.update(x.detach(), *self.statistics(self.rows(x.detach())))
        return super().forward(x)

    def stored_variance(self, var: Tensor, x: Tensor) -> Tensor:
        m = x.numel() // x.shape[1]
        return var * (m / max(m - 1, 1))


class RefusedAfterCount(BatchNorm):
    def check(self, x: Tensor) -> None:
        if self.training and self.track_running_stats:
            self.num_batches_tracked.add_(1)
        super().check(x)
        if self.training and self.track_running_stats:
            self.num_batches_tracked.sub_(1)


class RefusedByNaN(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        try:
            return super().forward(x)
        except ValueError:
            return torch.full_like(x, torch.nan)


class RefusedByNothing(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        try:
            return super().forward(x)
        except TypeError:
            return x
