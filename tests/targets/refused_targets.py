"""Targets that no adapter can take."""

from __future__ import annotations

import sys

import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from right_layers import PlainTorch  # type: ignore[import-not-found]  # a neighbour, found when this file is a target
from spying_layers import NumpySpy, Spy  # type: ignore[import-not-found]  # beside it, as a user's own
from torch import Tensor


class NoEps(Spy):  # type: ignore[misc]  # Any to mypy, as all neighbours
    def __init__(self, dim: int, momentum: float = 0.1) -> None:
        super().__init__(dim, momentum)
        del self.eps


class Depends(PlainTorch):  # type: ignore[misc]  # of an import that is not found
    def __init__(self, num_features: int, groups: int) -> None:
        super().__init__(num_features)


class NeverConstructs(PlainTorch):  # type: ignore[misc]  # of an import that is not found
    def __init__(self, num_features: int) -> None:
        raise ValueError("no kernel for this machine")


class NeverReturns(PlainTorch):  # type: ignore[misc]  # of an import that is not found
    def __call__(self, x: Tensor) -> Tensor:
        raise ValueError("no kernel for this dtype")


class WithoutBackward(NumpySpy):  # type: ignore[misc]  # of an import that is not found
    backward = None


def leaves(_: int) -> None:
    sys.exit(3)


def lacks_training(x: Tensor, running_mean: Tensor, running_var: Tensor) -> Tensor:
    return (x - running_mean) / running_var


def wants_more(x: Tensor, running_mean: Tensor, running_var: Tensor, training: bool, mode: str) -> Tensor:
    return F.batch_norm(x, running_mean, running_var, training=training and mode == "training")
