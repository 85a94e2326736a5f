"""Where a function or a layer has its channels, and in which shape its parameters: what is found, declared and told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

import bnspec
from bnspec.certificate.model import TargetReport
from bnspec.identification.identity import identify
from bnspec.layers.implementation import resolve
from bnspec.layers.modes import from_last, to_last
from bnspec.layers.target import TargetError
from bnspec.mutants.numpy_base import BatchNorm
from tests.test_functions_parameters import failed, of_arrays, of_tensors

Array = NDArray[Any]


def judge(obj: Any, **options: Any) -> TargetReport:
    return bnspec.certify(obj, **{"profile": "smoke", "dtypes": ["float64"], **options}).targets[0]


# The channel on the last axis


def arrays_last(x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, training: bool = True,
                momentum: float = 0.1, eps: float = 1e-5) -> Array:  # fmt: skip
    if x.shape[-1] != gamma.size:
        raise ValueError("the last axis has another number of channels")
    return np.asarray(from_last_to(of_arrays, x, gamma, beta, running_mean, running_var, training, momentum, eps))


def from_last_to(function: Any, x: Any, *others: Any) -> Any:
    return to_last(function(from_last(x), *others))


def arrays_by_position(x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array,
                       training: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> Array:  # fmt: skip
    """Wrong beyond rank 2: each position has statistics of its own, and the first's are stored."""
    if x.shape[-1] != gamma.size:
        raise ValueError("the last axis has another number of channels")
    if x.ndim == 2 or not training:
        return arrays_last(x, gamma, beta, running_mean, running_var, training, momentum, eps)
    first = x.reshape(len(x), -1, gamma.size)[:, 0]
    of_arrays(first, gamma, beta, running_mean, running_var, True, momentum, eps)
    return np.asarray((x - x.mean(0)) / np.sqrt(x.var(0) + eps) * gamma + beta)


def tensors_last(x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor,
                 training: bool = True, momentum: float = 0.1, eps: float = 1e-5) -> Tensor:  # fmt: skip
    """Of images alone."""
    n, h, w, c = x.shape
    if c != len(weight):
        raise ValueError("another number of channels")
    y = of_tensors(x.reshape(-1, c), weight, bias, running_mean, running_var, training, momentum, eps)
    return y.reshape(n, h, w, c)


class LayerLast(BatchNorm):
    """A layer of NumPy, its backward too."""

    bnspec_channels_last = True

    def forward(self, x: Array) -> Array:
        if x.ndim < 2:
            raise ValueError("(N, ..., C) is wanted")
        return np.asarray(from_last_to(super().forward, x))

    def backward(self, dy: Array) -> Any:
        return to_last(super().backward(from_last(dy)))


class ModuleLast(nn.BatchNorm2d):
    """A module."""

    bnspec_channels_last = True

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        return to_last(super().forward(from_last(input))) if input.ndim == 4 else super().forward(input)


class StoresBiased(ModuleLast):
    """As if a batch were one larger."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # as above
        y = super().forward(input)
        if self.training:
            assert self.running_var is not None
            self.running_var *= 1.001
        return y


def declare(function: Any) -> Any:
    """A copy that declares its axis."""

    def batch_norm(x: Any, gamma: Any, beta: Any, running_mean: Any, running_var: Any, training: Any = True,
                   momentum: Any = 0.1, eps: Any = 1e-5) -> Any:  # fmt: skip
        return function(x, gamma, beta, running_mean, running_var, training, momentum, eps)

    batch_norm.bnspec_channels_last = True  # type: ignore[attr-defined]  # as users declare it
    return batch_norm


@pytest.mark.parametrize(
    ("target", "ranks"),
    [(declare(arrays_last), [2, 3, 4, 5]), (declare(tensors_last), [4]), (LayerLast, [2, 3, 4, 5]), (ModuleLast, [4])],
)
def test_what_is_declared_to_have_its_channels_last_is_judged_so(target: Any, ranks: list[int]) -> None:
    report = judge(target, dialect="torch")
    assert not failed(report)
    assert report.scope["ranks"] == ranks
    assert identify(target).answers["channel_axis"].value == -1


@pytest.mark.parametrize("target", [declare(arrays_by_position), StoresBiased])
def test_a_wrong_one_is_refused(target: Any) -> None:
    assert "R2" in failed(judge(target, dialect="torch"))


def test_what_is_not_declared_is_advised() -> None:
    assert not failed(judge(arrays_by_position))
    for function in (arrays_last, arrays_by_position):
        words = resolve(function).understood
        assert "rank 3, 4, 5 raised ValueError: the last axis" in words
        assert "with the channel on the last axis rank 3, 4, 5 returns: declare bnspec_channels_last = True" in words
    with pytest.raises(TargetError, match="with the channel on the last axis one does: declare bnspec_channels_last"):
        resolve(tensors_last)


# Parameters and running statistics that have the axes of a batch


def shaped(X: Tensor, gamma: Tensor, beta: Tensor, moving_mean: Tensor, moving_var: Tensor, training: bool,
           eps: float = 1e-5, momentum: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """A course's: (1, C) beside (N, C) and (1, C, 1, 1) beside images."""
    if X.ndim not in (2, 4) or gamma.ndim != X.ndim or X.shape[1] != gamma.numel() or not X.is_floating_point():
        raise ValueError(f"{tuple(X.shape)} beside {tuple(gamma.shape)}")
    mean, var = moving_mean, moving_var
    if training:
        axes = [0] if X.ndim == 2 else [0, 2, 3]
        mean = X.mean(axes, keepdim=True)
        var = (X - mean).square().mean(axes, keepdim=True)
        moving_mean = (1 - momentum) * moving_mean + momentum * mean.detach()
        moving_var = (1 - momentum) * moving_var + momentum * var.detach()
    return gamma * (X - mean) * torch.rsqrt(var + eps) + beta, moving_mean, moving_var


def shaped_arrays(x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, training: bool,
                  momentum: float = 0.1, eps: float = 1e-5) -> Array:  # fmt: skip
    """The same in place, of torch's conventions."""
    if gamma.ndim != x.ndim:
        raise ValueError(f"{x.shape} beside {gamma.shape}")
    gamma, beta, running_mean, running_var = (p.reshape(-1) for p in (gamma, beta, running_mean, running_var))
    return of_arrays(x, gamma, beta, running_mean, running_var, training, momentum, eps)


def instance(X: Tensor, gamma: Tensor, beta: Tensor, moving_mean: Tensor, moving_var: Tensor, training: bool,
             eps: float = 1e-5, momentum: float = 0.1) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Wrong of images alone."""
    y, mean, var = shaped(X, gamma, beta, moving_mean, moving_var, training, eps, momentum)
    return F.instance_norm(X) * gamma + beta if training and X.ndim == 4 else y, mean, var


def test_parameters_are_handed_over_in_the_shape_in_which_more_ranks_return() -> None:
    report = judge(shaped, dialect="d2l")
    assert not failed(report)
    assert report.scope["ranks"] == [2, 4]
    assert "parameters and running statistics of the shape (1, C, 1, ...)" in str(report.scope["understood"])
    assert not failed(judge(shaped_arrays))
    assert resolve(shaped_arrays).promises.ranks == (2, 3, 4, 5)
    assert identify(shaped).nearest.names[0] == "d2l"


def returned(x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, training: bool = True,
             momentum: float = 0.1, eps: float = 1e-5) -> tuple[Array, Array, Array]:  # fmt: skip
    """Statistics of the axes of a batch, parameters of whatever shape."""
    mean, var = running_mean.reshape(-1).copy(), running_var.reshape(-1).copy()
    y = of_arrays(x, gamma.reshape(-1), beta.reshape(-1), mean, var, training, momentum, eps)
    shape = (1, -1, *[1] * (x.ndim - 2))
    if running_mean.shape != mean.reshape(shape).shape:
        return y, running_mean + mean.reshape(shape), running_var + var.reshape(shape)
    return y, mean.reshape(shape), var.reshape(shape)


def test_a_shape_in_which_the_statistics_do_not_come_back_is_none() -> None:
    assert not failed(judge(returned))
    assert "shape (1, C, 1, ...)" in resolve(returned).understood


def test_images_are_judged_then() -> None:
    assert "F1" in failed(judge(instance, dialect="d2l"))


def test_what_each_rank_raised_is_told() -> None:
    def of_large_images(x: Tensor, weight: Tensor, bias: Tensor, running_mean: Tensor, running_var: Tensor,
                        training: bool, momentum: float, eps: float) -> Tensor:  # fmt: skip
        _, _, h, w = x.shape
        if h * w % 64:
            raise ValueError(f"{h * w} is no multiple of 64")
        return of_tensors(x, weight, bias, running_mean, running_var, training, momentum, eps)

    with pytest.raises(TargetError) as error:
        resolve(of_large_images)
    assert "ValueError: not enough values to unpack (expected 4, got 2) (rank 2)" in str(error.value)
    assert "is no multiple of 64" in str(error.value)
