"""Wrong torch layers that are right in a first step: what a second forward, a backward or a recomputation updates."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_lifecycle.py)

from __future__ import annotations

import weakref

import torch
from torch import Tensor

from bnspec.mutants.torch_base import BatchNorm


class SecondUseOverwrites(BatchNorm):
    """Both updates of a step start from the statistics before the step, as they do in a graph built once."""

    before: dict[str, Tensor] | None = None

    def on_batch(self, x: Tensor) -> Tensor:
        y = super().on_batch(x)
        if y.requires_grad:
            y.register_hook(self.end_of_step)  # type: ignore[no-untyped-call]  # untyped in torch
        return y

    def end_of_step(self, _: Tensor) -> None:
        self.before = None

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        names = ("running_mean", "running_var")
        if self.before is None or not mean.requires_grad:
            self.before = {name: getattr(self, name).clone() for name in names}
        for name in names:
            getattr(self, name).copy_(self.before[name])
        super().update(x, mean, var)


class OneUpdateAStep(BatchNorm):
    pending = False

    def on_batch(self, x: Tensor) -> Tensor:
        y = super().on_batch(x)
        if y.requires_grad:
            self.pending = True
            y.register_hook(self.end_of_step)  # type: ignore[no-untyped-call]  # untyped in torch
        return y

    def end_of_step(self, _: Tensor) -> None:
        self.pending = False

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if not self.pending:
            super().update(x, mean, var)


class SameBatchOnce(BatchNorm):
    seen: weakref.ref[Tensor] | None = None

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if self.seen is None or self.seen() is not x:
            super().update(x, mean, var)
        self.seen = weakref.ref(x)


class UpdatedByTheNextCall(BatchNorm):
    due: tuple[Tensor, Tensor, Tensor] | None = None

    def forward(self, x: Tensor) -> Tensor:
        if self.due is not None:
            super().update(*self.due)
        self.due = None
        return super().forward(x)

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        self.due = x.detach(), mean.detach(), var.detach()


class UpdatedByTheBackward(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        y = super().on_batch(x)
        if y.requires_grad:
            y.register_hook(  # type: ignore[no-untyped-call]  # untyped in torch
                lambda _: BatchNorm.update(self, x, *self.statistics(self.rows(x.detach())))
            )
        return y

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if not torch.is_grad_enabled():
            super().update(x, mean, var)


class RecomputedInBackward(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        y = super().on_batch(x)
        if y.requires_grad:
            y.register_hook(  # type: ignore[no-untyped-call]  # untyped in torch
                lambda _: self.update(x, *self.statistics(self.rows(x.detach())))
            )
        return y


class LostWithoutRecording(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if torch.is_grad_enabled():
            super().update(x, mean, var)


class LostWithFrozenParameters(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if self.weight is None or self.weight.requires_grad:
            super().update(x, mean, var)
