"""Wrong torch layers that are right as long as each backward follows its forward and nobody keeps an output."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_reentry.py)

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept, Transform


# ---- a pass looks up what a later one left
class LastForwardWins(HandBackward):
    last: Tensor | None = None

    def transform(self, x: Tensor, mean: Tensor, var: Tensor, coupled: bool) -> Tensor:
        self.last = self.normalise(x, mean, var).detach()
        return super().transform(x, mean, var, coupled)

    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        if self.last is not None and self.last.shape == kept.xhat.shape:
            kept = replace(kept, xhat=self.last)
        return super().gradients(dy, kept)


class LastStatisticsWin(HandBackward):
    last: Tensor

    def rstd(self, var: Tensor) -> Tensor:
        self.last = super().rstd(var)
        return self.last

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        return super().dx(dy, replace(kept, rstd=self.last), dgamma, dbeta)


class StatisticsOfTheClass(HandBackward):
    saved: ClassVar[dict[torch.Size, Tensor]] = {}

    def rstd(self, var: Tensor) -> Tensor:
        rstd = super().rstd(var)
        self.saved[rstd.shape] = rstd
        return rstd

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        return super().dx(dy, replace(kept, rstd=self.saved[kept.rstd.shape]), dgamma, dbeta)


class ModeOfTheBackward(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        return super().gradients(dy, replace(kept, coupled=self.training))


class GammaOfTheBackward(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        weight = kept.weight if self.weight is None else self.weight.detach()
        return super().dx(dy, replace(kept, weight=weight), dgamma, dbeta)

    def transform(self, x: Tensor, mean: Tensor, var: Tensor, coupled: bool) -> Tensor:
        own = None if self.weight is None else self.weight.clone()  # what is kept is no parameter: no write is noticed
        y: Tensor = Transform.apply(  # type: ignore[no-untyped-call]  # torch leaves `apply` untyped
            x, own, self.bias, mean.detach(), self.rstd(var.detach()), self, coupled
        )
        return y


class BuffersOfTheBackward(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        if not kept.coupled:
            kept = replace(kept, rstd=self.rstd(self.running_var.to(kept.rstd.dtype)))
        return super().gradients(dy, kept)


class EvaluationSpoilsTraining(HandBackward):
    after_evaluation = False

    def transform(self, x: Tensor, mean: Tensor, var: Tensor, coupled: bool) -> Tensor:
        self.after_evaluation = not coupled
        return super().transform(x, mean, var, coupled)

    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        return super().gradients(dy, replace(kept, coupled=kept.coupled and not self.after_evaluation))


# ---- sums and outputs in memory that is used again
class DgammaNotCleared(HandBackward):
    total_dgamma: float | Tensor = 0.0

    def transform(self, x: Tensor, mean: Tensor, var: Tensor, coupled: bool) -> Tensor:
        self.total_dgamma = 0.0
        return super().transform(x, mean, var, coupled)

    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        dx, dgamma, dbeta = super().gradients(dy, kept)
        self.total_dgamma = dgamma + self.total_dgamma
        return dx, self.total_dgamma, dbeta


class DbetaInOnePlace(HandBackward):
    place: Tensor | None = None

    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        dx, dgamma, dbeta = super().gradients(dy, kept)
        if self.place is None or self.place.dtype != dbeta.dtype:
            self.place = torch.empty_like(dbeta)
        return dx, dgamma, self.place.copy_(dbeta).view_as(dbeta)


class OneOutputBuffer(BatchNorm):
    place: Tensor | None = None

    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.place is None or self.place.shape != y.shape or self.place.dtype != y.dtype:
            self.place = torch.empty_like(y)
        y.data = self.place.copy_(y.detach())
        return y


class TwoOutputBuffersInEvaluation(BatchNorm):
    places: tuple[Tensor, ...] = ()

    def evaluate(self, x: Tensor) -> Tensor:
        y = super().evaluate(x)
        place, *others = self.places if len(self.places) == 2 else (*self.places, torch.empty_like(y))[::-1]
        if place.shape != y.shape or place.dtype != y.dtype:
            place = torch.empty_like(y)
        self.places = (*others, place)
        y.data = place.copy_(y.detach())
        return y


class DxInPlaceOfX(HandBackward):
    def transform(self, x: Tensor, mean: Tensor, var: Tensor, coupled: bool) -> Tensor:
        self.memory = x.detach()
        return super().transform(x, mean, var, coupled)

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        dx = super().dx(dy, kept, dgamma, dbeta)
        if self.memory.shape == dx.shape and self.memory.is_contiguous():
            self.memory.copy_(dx)
        return dx


# ---- not the same twice
class SummedInRandomOrder(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        return super().statistics(values[:, torch.randperm(values.shape[1], device=values.device)])


class DitheredInEvaluation(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        y = super().evaluate(x)
        return y + (torch.rand_like(y) - 0.5) * torch.finfo(y.dtype).eps * y.detach().abs()
