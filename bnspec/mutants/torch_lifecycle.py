"""Wrong torch layers whose one pass is right: saving, copying, converting, resetting, switching modes, counting."""

# ruff: noqa: D101  (what is wrong with each stands in bnspec/mutants/table_lifecycle.py)

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, ClassVar, Self, TypeVar

import torch
from torch import Tensor, nn

from bnspec.mutants.torch_base import BatchNorm

STATISTICS = ("running_mean", "running_var")
Layer = TypeVar("Layer", bound=BatchNorm)


# ---- save and restore
class CounterNotSaved(BatchNorm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_buffer("num_batches_tracked", self.num_batches_tracked, persistent=False)


class VarianceNotSaved(BatchNorm):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.register_buffer("running_var", self.running_var, persistent=False)


class LoadResetsCounter(BatchNorm):
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        state_dict.setdefault(f"{prefix}num_batches_tracked", torch.tensor(0))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class EpsTakenOnLoad(BatchNorm):
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        name = f"{prefix}running_var"
        if name in state_dict:
            state_dict = {**state_dict, name: state_dict[name] - self.eps}
        super()._load_from_state_dict(state_dict, prefix, *rest)


class InverseDeviationSaved(BatchNorm):
    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        destination[f"{prefix}running_var"] = self.rstd(self.running_var)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        name = f"{prefix}running_var"
        if name in state_dict:
            state_dict = {**state_dict, name: state_dict[name] ** -2}
        super()._load_from_state_dict(state_dict, prefix, *rest)


class SavedInHalf(BatchNorm):
    def _save_to_state_dict(self, destination: dict[str, Any], prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        for name in STATISTICS:
            destination[prefix + name] = destination[prefix + name].half()


class RestoreSharesBuffers(BatchNorm):
    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        super()._load_from_state_dict(state_dict, prefix, *rest)
        for name in STATISTICS:
            if f"{prefix}{name}" in state_dict:
                setattr(self, name, state_dict[f"{prefix}{name}"])


# ---- copies and instances
class CopySharesBuffers(BatchNorm):
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        for name in STATISTICS:
            memo[id(getattr(self, name))] = getattr(self, name)
        return copied(self, memo)


class CopyForgetsCounter(BatchNorm):
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = copied(self, memo)
        twin.num_batches_tracked = torch.zeros_like(self.num_batches_tracked)
        return twin


class CopyIsNew(BatchNorm):
    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        twin = copied(self, memo)
        twin.reset_running_stats()
        return twin


class CounterOfTheClass(BatchNorm):
    counters: ClassVar[dict[torch.device, Tensor]] = {}

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        if self.track_running_stats:
            own = self.num_batches_tracked
            self.num_batches_tracked = self.counters.setdefault(own.device, own)


def copied(layer: Layer, memo: dict[int, Any]) -> Layer:
    """A deep copy as `copy.deepcopy` makes it of a class without `__deepcopy__`, with `memo` for what it shares."""
    twin = type(layer).__new__(type(layer))
    memo[id(layer)] = twin
    twin.__dict__.update(copy.deepcopy(layer.__dict__, memo))
    return twin


# ---- conversions
class Convertible(BatchNorm):
    """A right layer with two steps of a conversion to override: before it, tensor by tensor, and after all of it."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        former = {name: tensor.clone() for name, tensor in self.state_dict().items()}
        super()._apply(lambda t: fn(self.prepare(t)), recurse)  # type: ignore[no-untyped-call]  # untyped in torch
        self.finish(former)
        return self

    def prepare(self, values: Tensor) -> Tensor:
        return values

    def finish(self, former: dict[str, Tensor]) -> None:
        pass


class BuffersLeftBehind(Convertible):
    def finish(self, former: dict[str, Tensor]) -> None:
        self.running_mean, self.running_var = former["running_mean"], former["running_var"]


class BiasLeftBehind(Convertible):
    def finish(self, former: dict[str, Tensor]) -> None:
        self.bias = nn.Parameter(former["bias"]) if "bias" in former else None


class VarianceNewAfterConversion(Convertible):
    def finish(self, former: dict[str, Tensor]) -> None:
        self.running_var = torch.ones_like(self.running_var)


class ConvertedThroughBfloat16(Convertible):
    def prepare(self, values: Tensor) -> Tensor:
        return values.bfloat16().to(values.dtype) if values.is_floating_point() else values


# ---- modes
class ModeToggled(BatchNorm):
    switched = False

    def train(self, mode: bool = True) -> Self:
        super().train(mode if not self.switched or mode != self.training else not mode)
        self.switched = True
        return self


class EvaluationIsForEver(BatchNorm):
    frozen = False

    def train(self, mode: bool = True) -> Self:
        self.frozen = self.frozen or not mode
        return super().train(mode)

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if not self.frozen:
            super().update(x, mean, var)


class BackupOverwritten(BatchNorm):
    backup: float | None = None

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if mode:
            self.momentum = self.backup if self.backup is not None else self.momentum
        else:
            self.backup, self.momentum = self.momentum, 0.0
        return self


class ResetOnReturnToTraining(BatchNorm):
    def train(self, mode: bool = True) -> Self:
        if mode and not self.training:
            self.reset_running_stats()
        return super().train(mode)


class FirstAfterEvaluationLost(BatchNorm):
    evaluated = False

    def evaluate(self, x: Tensor) -> Tensor:
        self.evaluated = True
        return super().evaluate(x)

    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        if not self.evaluated:
            super().update(x, mean, var)
        self.evaluated = False


class FoldedByEval(BatchNorm):
    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        if not mode and self.weight is not None and self.bias is not None:
            alpha = self.weight.data * self.rstd(self.running_var)
            self.bias.data -= alpha * self.running_mean
            self.weight.data = alpha
            self.running_mean.zero_()
            self.running_var.fill_(1 - self.eps)
        return self


# ---- the counter
class CountsExamples(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        self.num_batches_tracked.add_(len(x) - 1)
        super().update(x, mean, var)


class CountsOnlyForNone(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        super().update(x, mean, var)
        if self.momentum is not None:
            self.num_batches_tracked.sub_(1)


class CountsInEightBits(BatchNorm):
    def update(self, x: Tensor, mean: Tensor, var: Tensor) -> None:
        super().update(x, mean, var)
        self.num_batches_tracked.copy_(self.num_batches_tracked.to(torch.int8))


class CountsBackwards(BatchNorm):
    def on_batch(self, x: Tensor) -> Tensor:
        y = super().on_batch(x)
        if y.requires_grad:
            y.register_hook(lambda _: self.count())  # type: ignore[no-untyped-call]  # untyped in torch
        return y

    def count(self) -> None:
        self.num_batches_tracked.add_(1)


# ---- the reset
class ResetForgetsCounter(BatchNorm):
    def reset_running_stats(self) -> None:
        self.running_mean.zero_()
        self.running_var.fill_(1)


class ResetToZeroVariance(BatchNorm):
    def reset_running_stats(self) -> None:
        super().reset_running_stats()
        self.running_var.zero_()


class ResetForgetsMean(BatchNorm):
    def reset_running_stats(self) -> None:
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()
