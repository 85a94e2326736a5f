"""Wrong torch layers that only a history of several acts betrays: each act by itself is right."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_histories.py)

from __future__ import annotations

import copy
from typing import Any, Self

import torch
from torch import Tensor, nn

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept, over_channels
from bnspec.mutants.torch_sequences import remake


# ---- after eps and momentum were set
class CopyForgetsTuning(nn.BatchNorm1d):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.made_with = self.eps, self.momentum

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin: Self = remake(self, memo)
        twin.eps, twin.momentum = self.made_with
        return twin


class AveragesFromChoice(nn.BatchNorm2d):
    """The count at which momentum was set to None is taken for none."""

    chosen_at: int | None = None

    def forward(self, x: Tensor) -> Tensor:
        counter = self.num_batches_tracked
        if self.momentum is not None or not self.training or counter is None:
            self.chosen_at = self.chosen_at if self.momentum is None else -1
            return super().forward(x)
        if self.chosen_at == -1:
            self.chosen_at = int(counter)
        counted = int(counter)
        counter -= self.chosen_at or 0
        y = super().forward(x)
        counter.fill_(counted + 1)
        return y


# ---- after a save, a copy, a conversion
class OlderSaveResets(nn.BatchNorm1d):
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        older = f"{prefix}running_mean" in state_dict and f"{prefix}num_batches_tracked" not in state_dict
        super()._load_from_state_dict(state_dict, prefix, *rest)
        if older:
            self.reset_running_stats()


class PickledForgetsEps(BatchNorm):
    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__({**state, "eps": 1e-5})  # type: ignore[no-untyped-call]  # torch leaves it untyped

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin: Self = remake(self, memo)
        return twin


class CopyOfCopyShares(BatchNorm):
    is_copy = False

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if self.is_copy:
            memo[id(self.running_mean)] = self.running_mean
        twin: Self = remake(self, memo)
        twin.is_copy = True
        return twin


class ResetAsConstructed(BatchNorm):
    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.initial = copy.deepcopy(self._buffers) if self.track_running_stats else None

    def reset_running_stats(self) -> None:
        if self.initial is not None:
            self._buffers.update(copy.deepcopy(self.initial))


class CopyEndsWaiting(HandBackward):
    """Copying clears the workspaces of passes that wait for their backward."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.copies = 0

    def transform(self, x: Tensor, mean: Tensor, var: Tensor, coupled: bool) -> Tensor:
        self.begun = self.copies
        return super().transform(x, mean, var, coupled)

    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        dx = super().dx(dy, kept, dgamma, dbeta)
        return dx if self.begun == self.copies else dx + over_channels(dgamma, dy)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        self.copies += 1
        twin: Self = remake(self, memo)
        twin.begun = twin.copies
        return twin


# ---- after a refusal, and while frozen
class RefusalSkipsNext(BatchNorm):
    skips = False

    def check(self, x: Tensor) -> None:
        self.skips |= self.training and x.numel() == self.num_features
        super().check(x)

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if self.skips:
            self.num_batches_tracked.add_(1)
            self.skips = False
        else:
            super().update(x, mean, var)


class FrozenGammaKept(BatchNorm):
    kept: Tensor | None = None

    def scale_and_shift(self, xhat: Tensor) -> Tensor:
        if self.weight is None or self.weight.requires_grad or not self.training or not torch.is_grad_enabled():
            self.kept = self.kept if not self.training else None
            return super().scale_and_shift(xhat)
        self.kept = self.weight.detach().to(xhat.dtype, copy=True) if self.kept is None else self.kept
        y = xhat * over_channels(self.kept, xhat)
        return y if self.bias is None else y + over_channels(self.bias, y)
