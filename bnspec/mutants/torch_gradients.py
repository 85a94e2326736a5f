"""Wrong torch layers whose forward is right: one of the gradients is not, or what it reads and writes on the way."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table.py)

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept


# ---- left to autograd, with something cut from the graph
class MeanDetached(BatchNorm):
    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return super().normalise(x, mean.detach(), var)


class VarianceDetached(BatchNorm):
    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return super().normalise(x, mean, var.detach())


class BothDetached(BatchNorm):
    def normalise(self, x: Tensor, mean: Tensor, var: Tensor) -> Tensor:
        return super().normalise(x, mean.detach(), var.detach())


class UpdatesInEvalBackward(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        y = super().evaluate(x)
        if y.requires_grad:
            y.register_hook(  # type: ignore[no-untyped-call]  # untyped in torch
                lambda _: self.update(x, *self.statistics(self.rows(x)))
            )
        return y


# ---- the terms of dx
class GammaMissing(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        return super().dx(dy, replace(kept, weight=torch.ones_like(kept.weight)), dgamma, dbeta)


class InvertedTwice(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        return super().dx(dy, replace(kept, rstd=torch.rsqrt(kept.rstd + self.eps)), dgamma, dbeta)


class BackwardWithoutEps(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        var = (kept.rstd**-2 - self.eps).clamp(min=1e-12)
        return super().dx(dy, replace(kept, rstd=var.rsqrt()), dgamma, dbeta)


class EvalDifferentiatedAsTraining(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        return super().dx(dy, replace(kept, coupled=True), dgamma, dbeta)


class SumsSkippedWithFrozenGamma(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        return super().dx(dy, kept, dgamma if kept.needs[1] else torch.zeros_like(dgamma), dbeta)


# ---- the gradients by the parameters
class DgammaWithoutRstd(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        dx, dgamma, dbeta = super().gradients(dy, kept)
        return dx, dgamma / kept.rstd, dbeta


class DgammaTailDropped(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        dx, _, dbeta = super().gradients(dy, kept)
        terms = self.rows(dy * kept.xhat)
        m = terms.shape[1]
        return dx, terms[:, : m - m % 4].sum(1), dbeta


class XhatRecoveredFromY(HandBackward):
    def dgamma(self, dy: Tensor, kept: Kept) -> Tensor:
        return torch.where(kept.weight == 0, 0, super().dgamma(dy, kept))


class ParametersNeedX(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        dx, dgamma, dbeta = super().gradients(dy, kept)
        return (dx, dgamma, dbeta) if kept.needs[0] else (dx, torch.zeros_like(dgamma), dbeta)


# ---- what is done with the upstream gradient
class UpstreamOverwritten(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        gradients = super().gradients(dy, kept)
        if dy.is_contiguous():
            dy.mul_(kept.rstd.view(1, -1, *[1] * (dy.ndim - 2)))
        return gradients


class UpstreamReadInMemoryOrder(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        if dy.untyped_storage().nbytes() == dy.nbytes:
            dy = dy.as_strided((dy.numel(),), (1,), 0).view(dy.shape)
        return super().gradients(dy, kept)
