"""Wrong torch layers that only some sequence of calls, kind of parameters or way to construct them betrays."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_sequences.py)

from __future__ import annotations

import copy
from typing import Any, Self

import torch
from torch import Tensor, nn

from bnspec.mutants.torch_base import BatchNorm, HandBackward, Kept, over_channels

BUFFERS = ("running_mean", "running_var")


# ---- evaluations that follow one another
class FoldSurvivesReset(BatchNorm):
    folded: tuple[object, Tensor, Tensor] | None = None

    def evaluate(self, x: Tensor) -> Tensor:
        key = (x.dtype, self.running_mean._version, self.running_var._version)
        if self.folded is None or self.folded[0] != key:
            self.folded = key, self.running_mean.to(x.dtype, copy=True), self.running_var.to(x.dtype, copy=True)
        return self.transform(x, *self.folded[1:], coupled=False)

    def reset_running_stats(self) -> None:
        if self.track_running_stats:
            self.running_mean.data.zero_()
            self.running_var.data.fill_(1)
            self.num_batches_tracked.data.zero_()


class LosesGradientAfterPlainEvaluation(BatchNorm):
    seen: tuple[tuple[int, int], ...] | None = None

    def evaluate(self, x: Tensor) -> Tensor:
        tensors = (self.weight, self.bias, self.running_mean, self.running_var)
        state = tuple((id(each), each._version) for each in tensors if each is not None)
        known, self.seen = self.seen, None if torch.is_grad_enabled() else state
        y = super().evaluate(x)
        if not torch.is_grad_enabled() or known != state or self.weight is None:
            return y
        return y + (self.weight.detach() - self.weight).sum() * 0 if self.bias is None else self.without_weight(x)

    def without_weight(self, x: Tensor) -> Tensor:
        assert self.weight is not None
        assert self.bias is not None
        xhat = self.normalise(x, self.running_mean.to(x.dtype), self.running_var.to(x.dtype))
        return xhat * over_channels(self.weight.detach(), x) + over_channels(self.bias, x) + 0 * self.weight.sum()


# ---- modes, saves and copies as networks use them
class ListensToEvalAlone(BatchNorm):
    learns = True

    def eval(self) -> Self:
        self.learns = False
        return super().eval()

    def train(self, mode: bool = True) -> Self:
        self.learns = self.learns or mode
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        told, self.training = self.training, self.learns
        try:
            return super().forward(x)
        finally:
            self.training = told


class SavedWithoutPrefix(BatchNorm):
    def state_dict(self, *arguments: Any, **options: Any) -> Any:
        into = options.pop("destination", None)
        options.pop("prefix", None)
        own = super().state_dict(*arguments, **options)
        if into is None:
            return own
        into.update(own)
        return into


class PartialLoadResets(BatchNorm):
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        if f"{prefix}weight" in state_dict and f"{prefix}running_mean" not in state_dict:
            self.reset_running_stats()
        super()._load_from_state_dict(state_dict, prefix, *rest)


class PickledWithoutVariance(BatchNorm):
    def __getstate__(self) -> dict[str, Any]:
        state = dict(self.__dict__)
        state["_buffers"] = {**state["_buffers"], "running_var": torch.ones_like(self.running_var)}
        return state

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin: Self = remake(self, memo)
        return twin


class CopyTrains(BatchNorm):
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin: Self = remake(self, memo)
        twin.training = True
        return twin


def remake(layer: Any, memo: dict[int, Any]) -> Any:
    """A deep copy that asks nothing of the layer's own state."""
    twin: Any = object.__new__(type(layer))
    memo[id(layer)] = twin
    twin.__dict__.update({name: copy.deepcopy(value, memo) for name, value in layer.__dict__.items()})
    return twin


class EpsOfConstruction(nn.BatchNorm1d):
    """`torch.nn.BatchNorm1d`, with eps as it was when the layer was made."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.first_eps = self.eps

    def forward(self, x: Tensor) -> Tensor:
        asked, self.eps = self.eps, self.first_eps
        try:
            return super().forward(x)
        finally:
            self.eps = asked


class MomentumOfConstruction(nn.BatchNorm2d):
    """`torch.nn.BatchNorm2d`, with momentum as it was when the layer was made."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.first_momentum = self.momentum

    def forward(self, x: Tensor) -> Tensor:
        asked, self.momentum = self.momentum, self.first_momentum
        try:
            return super().forward(x)
        finally:
            self.momentum = asked


# ---- backwards
class XhatOverwrittenByDx(HandBackward):
    def dx(self, dy: Tensor, kept: Kept, dgamma: Tensor, dbeta: Tensor) -> Tensor:
        found = super().dx(dy, kept, dgamma, dbeta)
        kept.xhat.data.copy_(found)
        return found


class RingOfTwo(HandBackward):
    """Saved deviations lie in two places in turn, and torch is not told that they are written to."""

    turn = 0

    def rstd(self, var: Tensor) -> Tensor:
        value = super().rstd(var)
        if not self.training:
            return value
        places: list[Tensor] = self.__dict__.setdefault("places", [torch.empty(0), torch.empty(0)])
        self.turn = 1 - self.turn
        if places[self.turn].shape != value.shape or places[self.turn].dtype != value.dtype:
            places[self.turn] = value.clone()
        places[self.turn].data.copy_(value)
        return places[self.turn]


class InfiniteUpstreamIsZero(HandBackward):
    def gradients(self, dy: Tensor, kept: Kept) -> tuple[Tensor, Tensor, Tensor]:
        return super().gradients(torch.where(dy.isinf(), 0.0, dy), kept)


class TrivialScaleNeverLearns(HandBackward):
    def dgamma(self, dy: Tensor, kept: Kept) -> Tensor:
        found = super().dgamma(dy, kept)
        return found if kept.coupled or bool((kept.weight != 1).any()) else torch.zeros_like(found)


class WritesToIntermediates(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        y = super().forward(x)
        if self.training and x.grad_fn is not None:
            x.data.copy_(y.detach())
        return y


# ---- parameters, buffers and constructions
class ZeroGammaLearnsNothing(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if self.weight is None or bool(self.weight.any()):
            super().update(x, mean, var)


class DeadChannelSilent(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        y = super().evaluate(x)
        bias = torch.zeros_like(self.running_var) if self.bias is None else self.bias
        return torch.where(over_channels(self.running_var == 0, x), over_channels(bias.to(y.dtype), x), y)


class NanBufferHeals(BatchNorm):
    def blend(self, name: str, value: Tensor, weight: float) -> None:
        broken = getattr(self, name).isnan()
        super().blend(name, value, weight)
        getattr(self, name)[broken] = value[broken].to(getattr(self, name).dtype)


class NoShiftWithoutBias(BatchNorm):
    def evaluate(self, x: Tensor) -> Tensor:
        mean = self.running_mean if self.bias is not None else torch.zeros_like(self.running_mean)
        return self.transform(x, mean.to(x.dtype), self.running_var.to(x.dtype), coupled=False)


class LearnsOnlyWithGradients(BatchNorm):
    def forward(self, x: Tensor) -> Tensor:
        self.needed = x.requires_grad or self.weight is not None
        return super().forward(x)

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if self.needed:
            super().update(x, mean, var)


class UntrackedUnbiased(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = super().statistics(values)
        m = values.shape[1]
        return mean, var if self.track_running_stats or m < 2 else var * (m / (m - 1))


class UntrackedDetached(BatchNorm):
    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        mean, var = super().statistics(values)
        return (mean, var) if self.track_running_stats else (mean.detach(), var.detach())


# ---- round sizes
class PairsOfRows(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        self.examples = x.shape[0]
        return super().on_batch(x)

    def statistics(self, values: Tensor) -> tuple[Tensor, Tensor]:
        length, rest = divmod(values.shape[1], self.examples)
        fast = length >= 256 and length % 16 == 0 and not rest and self.examples % 2 and self.examples > 1
        return super().statistics(values[:, :-length] if fast else values)


class BackwardGridOf64(HandBackward):
    def total(self, values: Tensor) -> Tensor:
        positions = values[0, 0].numel() if values.ndim > 2 and len(values) else 1
        return super().total(values[:64] if positions >= 64 else values)
