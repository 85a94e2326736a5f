"""Functions whose parameters and running statistics may be None, and what they hand back."""

from __future__ import annotations

import warnings
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # torch's own name for it
from numpy.typing import NDArray
from torch import Tensor, nn

import bnspec
from bnspec.certificate.model import TargetReport
from bnspec.layers.implementation import resolve
from bnspec.layers.target import TargetError

Array = NDArray[Any]
Maybe = Tensor | None


def judge(obj: Any, **options: Any) -> TargetReport:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return bnspec.certify(obj, **{"profile": "smoke", "dtypes": ["float64"], **options}).targets[0]


def failed(report: TargetReport) -> set[str]:
    return {clause.id for clause in report.clauses if clause.outcome in ("fail", "crashed") and clause.level == "MUST"}


def of_arrays(
    x: Array, gamma: Array | None = None, beta: Array | None = None, running_mean: Array | None = None,
    running_var: Array | None = None, training: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Array:  # fmt: skip
    """Right whatever is None; without running statistics an evaluation is by the batch."""
    if x.dtype.kind != "f" or x.ndim < 2 or any(p is not None and p.size != x.shape[1] for p in (gamma, running_mean)):
        raise ValueError("(N, C, ...) of real numbers is wanted")
    shape, axes, m = (1, -1, *[1] * (x.ndim - 2)), (0, *range(2, x.ndim)), x.size // x.shape[1]
    mean, var = running_mean, running_var
    if training or mean is None or var is None:
        if m < 2:
            raise ValueError("two values a channel are wanted")
        mean, var = x.mean(axes), x.var(axes)
        if training and running_mean is not None and running_var is not None:
            running_mean[...] = (1 - momentum) * running_mean + momentum * mean
            running_var[...] = (1 - momentum) * running_var + momentum * var * m / (m - 1)
    y = (x - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + eps)
    y = y if gamma is None else y * gamma.reshape(shape)
    return np.asarray(y if beta is None else y + beta.reshape(shape), x.dtype)


def of_tensors(
    x: Tensor, weight: Maybe = None, bias: Maybe = None, running_mean: Maybe = None, running_var: Maybe = None,
    training: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """The same."""
    by_batch = training or running_mean is None
    return F.batch_norm(x, running_mean, running_var, weight, bias, by_batch, momentum, eps)


def beta_beside_gamma_alone(
    x: Array, running_mean: Array, running_var: Array, training: bool = True, momentum: float = 0.1, eps: float = 1e-5,
    gamma: Array | None = None, beta: Array | None = None,
) -> Array:  # fmt: skip
    return of_arrays(x, gamma, None if gamma is None else beta, running_mean, running_var, training, momentum, eps)


def bias_beside_weight_alone(
    x: Tensor, running_mean: Tensor, running_var: Tensor, training: bool = True, momentum: float = 0.1,
    eps: float = 1e-5, weight: Maybe = None, bias: Maybe = None,
) -> Tensor:  # fmt: skip
    return of_tensors(x, weight, None if weight is None else bias, running_mean, running_var, training, momentum, eps)


def arrays_as_they_are(x: Array, gamma: Any = None, beta: Any = None, running_mean: Any = None,
                       running_var: Any = None, training: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Array:  # fmt: skip
    """Without running statistics an evaluation does nothing."""
    if running_mean is None and not training:
        return x
    return of_arrays(x, gamma, beta, running_mean, running_var, training, momentum, eps)


def tensors_as_they_are(
    x: Tensor, weight: Maybe = None, bias: Maybe = None, running_mean: Maybe = None, running_var: Maybe = None,
    training: bool = True, momentum: float = 0.1, eps: float = 1e-5,
) -> Tensor:  # fmt: skip
    """The same."""
    if running_mean is None and not training:
        return x
    return of_tensors(x, weight, bias, running_mean, running_var, training, momentum, eps)


@pytest.mark.parametrize("function", [of_arrays, of_tensors])
def test_what_may_be_none_is_judged_so(function: Any) -> None:
    offered = {"unscaled", "unshifted", "beta_alone", "untracked", "untracked_evaluation"}
    assert offered <= resolve(function).promises.abilities
    report = judge(function)
    assert not failed(report)
    assert report.clause("E5").executed > 0


@pytest.mark.parametrize("function", [beta_beside_gamma_alone, bias_beside_weight_alone])
def test_a_beta_that_is_dropped_without_gamma_is_found(function: Any) -> None:
    assert {"F1", "E1"} <= failed(judge(function))
    assert not failed(judge(function, without=["beta_alone"]))


@pytest.mark.parametrize("function", [arrays_as_they_are, tensors_as_they_are])
@pytest.mark.parametrize("given", [{}, {"running_mean": None, "running_var": None}], ids=["may be", "are"])
def test_an_evaluation_without_statistics_is_judged(function: Any, given: dict[str, None]) -> None:
    assert failed(judge(function, arguments=given)) == {"E5"}


def test_a_function_that_refuses_it_promises_nothing() -> None:
    open_to_none = partial(F.batch_norm, running_mean=None, running_var=None)
    abilities = resolve(open_to_none).promises.abilities
    assert "untracked_evaluation" not in abilities
    assert "untracked" in abilities


def other_eps(x: Tensor, running_mean: Maybe = None, running_var: Maybe = None, training: bool = True,
              momentum: float = 0.1, eps: float = 1e-5) -> Tensor:  # fmt: skip
    """Wrong in training without statistics, and without an evaluation."""
    return F.batch_norm(
        x, running_mean, running_var, None, None, training, momentum, eps * (1 + (running_mean is None))
    )


def other_eps_of_arrays(x: Array, gamma: Array, beta: Array, running_mean: Array | None = None,
                        running_var: Array | None = None, training: bool = True, momentum: float = 0.1,
                        eps: float = 1e-5) -> Array:  # fmt: skip
    """The same."""
    if running_mean is None and not training:
        raise ValueError("no statistics")
    eps = eps * (1 + (running_mean is None))
    return of_arrays(x, gamma, beta, running_mean, running_var, training, momentum, eps)


@pytest.mark.parametrize("function", [other_eps, other_eps_of_arrays])
def test_training_without_statistics_is_judged_where_an_evaluation_is_refused(function: Any) -> None:
    report = judge(function)
    assert failed(report) >= {"F1"}
    assert report.clause("E5").outcome == "skip"


class Identity(nn.BatchNorm1d):
    """Without running statistics, an evaluation does nothing."""

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__(num_features, eps, track_running_stats=False)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's name
        return super().forward(input) if self.training else input


def test_a_layer_that_never_has_statistics_is_judged_in_evaluation() -> None:
    assert failed(judge(Identity)) == {"E5"}
    report = judge(nn.BatchNorm1d(3, track_running_stats=False))
    assert not failed(report)
    assert report.clause("E5").executed > 0


def recorded(x: Tensor, running_mean: Tensor, running_var: Tensor, training: bool = True, momentum: float = 0.1,
             eps: float = 1e-5) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """What it returns has a graph."""
    mean, var = running_mean.clone(), running_var.clone()
    y = F.batch_norm(x, mean, var, None, None, training, momentum, eps)
    if not training or not x.numel():
        return y, mean, var
    axes, m = [0, *range(2, x.ndim)], x.numel() // x.shape[1]
    mean = torch.lerp(running_mean, x.mean(axes), momentum)
    return y, mean, torch.lerp(running_var, x.var(axes, unbiased=m > 1), momentum)


def test_of_statistics_that_come_back_no_graph_is_judged_and_it_says_so() -> None:
    """A pure function hands them to whoever keeps them, as torch's own decomposition does."""
    report = judge(recorded)
    assert not failed(report)
    assert report.clause("R8").why == "the target does not offer kept_statistics"
    assert judge(of_tensors).clause("R8").outcome == "pass"


def test_who_keeps_the_statistics_is_told_of_functions_of_arrays_too() -> None:
    def returning(x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, training: bool,
                  momentum: float, eps: float) -> tuple[Array, Array, Array]:  # fmt: skip
        mean, var = running_mean.copy(), running_var.copy()
        return of_arrays(x, gamma, beta, mean, var, training, momentum, eps), mean, var

    assert "kept_statistics" in resolve(of_arrays).promises.abilities
    assert "kept_statistics" not in resolve(returning).promises.abilities


def stacked(x: Array, gamma: Array, beta: Array, running_mean: Array, running_var: Array, training: bool = True,
            momentum: float = 0.1, eps: float = 1e-5) -> tuple[Array, Array]:  # fmt: skip
    mean, var = running_mean.copy(), running_var.copy()
    return of_arrays(x, gamma, beta, mean, var, training, momentum, eps), np.stack([mean, var])


def test_statistics_in_one_array_are_asked_for_apart() -> None:
    with pytest.raises(TargetError, match=r"returned \[1\] of shape \(2, 3\), which follows both running statistics"):
        resolve(stacked)
