"""Wrong layers, each with one fault; a comment of the form "# fault -> mended" says what would mend it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

# return var -> return var * count / (count - 1)
# mean.detach() -> mean
# 1.01 * -> 1.0 *
# self.running_var + momentum * var -> self.running_var + momentum * var * m / (m - 1)
# super().forward(input) * 1.5 -> super().forward(input)
# raise RuntimeError -> str
# input.zero_() -> input.shape
# += 0 -> += 1
# y.double() -> y
# torch.nan_to_num(y) -> y
# assert input.ndim > 1 -> super().check(input)


class Plain(nn.BatchNorm1d):
    """Right: in formulas."""

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        self.check(input)
        axes, shape = [0, *range(2, input.ndim)], (1, -1, *[1] * (input.ndim - 2))
        mean, var = self.running_mean, self.running_var
        assert mean is not None
        assert var is not None
        if self.training:
            mean, var = input.mean(axes), input.var(axes, unbiased=False)
            self.update(mean.detach(), var.detach(), input.numel() // self.num_features)
        centred = input - self.centre(mean).view(shape)
        return centred * (self.weight * (var + self.eps) ** -0.5).view(shape) + self.bias.view(shape)

    @torch.no_grad()
    def update(self, mean: Tensor, var: Tensor, count: int) -> None:
        assert self.num_batches_tracked is not None
        self.count()
        weight = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
        assert self.running_mean is not None
        assert self.running_var is not None
        self.running_mean.lerp_(mean, weight)
        self.running_var.lerp_(self.stored(var, count), weight)

    def stored(self, var: Tensor, count: int) -> Tensor:
        return var * count / (count - 1)

    def centre(self, mean: Tensor) -> Tensor:
        return mean

    def count(self) -> None:
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)

    def check(self, input: Tensor) -> None:  # noqa: A002  # torch's own name
        if input.ndim < 2 or input.shape[1] != self.num_features or input.is_complex():
            raise ValueError("channels of real numbers")


class Biased(Plain):
    def stored(self, var: Tensor, count: int) -> Tensor:
        return var


class Detached(Plain):
    def centre(self, mean: Tensor) -> Tensor:
        return mean.detach()


class Raises(Plain):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        if self.training and len(input) == 3:
            raise RuntimeError("three")
        return super().forward(input)


class Writes(Plain):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        y = super().forward(input)
        with torch.no_grad():
            input.zero_()
        return y


class Forgets(Plain):
    def count(self) -> None:
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 0


class Doubles(Plain):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        y = super().forward(input)
        return y.double()


class Cleans(Plain):
    def forward(self, input: Tensor) -> Tensor:  # noqa: A002  # torch's own name
        y = super().forward(input)
        return torch.nan_to_num(y)


class Broadcasts(Plain):
    def check(self, input: Tensor) -> None:  # noqa: A002  # torch's own name
        assert input.ndim > 1


def function(
    input: Tensor,  # noqa: A002  # torch's own name
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    return 1.01 * functional.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


class Teaching:
    """In NumPy."""

    bnspec_dialect = "torch"

    def __init__(self, num_features: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        self.gamma, self.beta = np.ones(num_features), np.zeros(num_features)
        self.running_mean, self.running_var = np.zeros(num_features), np.ones(num_features)
        self.momentum, self.eps, self.training = momentum, eps, True
        self.cache: tuple[Any, ...] = ()

    def forward(self, x: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        mean, var, m = self.running_mean, self.running_var, len(x)
        if self.training:
            mean, var, momentum = x.mean(0), x.var(0), self.momentum
            self.running_mean = (1 - momentum) * self.running_mean + momentum * mean
            self.running_var = (1 - momentum) * self.running_var + momentum * var
        rstd = 1 / np.sqrt(var + self.eps)
        xhat = (x - mean) * rstd
        self.cache = xhat, rstd, m, self.training
        return np.asarray(self.gamma * xhat + self.beta)

    def backward(self, dy: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        xhat, rstd, m, training = self.cache
        self.dgamma, self.dbeta = (dy * xhat).sum(0), dy.sum(0)
        if training:
            dy = dy - self.dbeta / m - xhat * self.dgamma / m
        return np.asarray(self.gamma * rstd * dy)


class ToldInCalls(Teaching):
    """The mode is a parameter of each call."""

    def __init__(self, num_features: int, momentum: float = 0.1, eps: float = 1e-5) -> None:
        super().__init__(num_features, momentum, eps)
        del self.training

    def forward(self, x: np.ndarray[Any, Any], train_flg: bool = True) -> np.ndarray[Any, Any]:
        self.training = train_flg
        y = super().forward(x)
        del self.training
        return y


class ToldModules(torch.nn.BatchNorm1d):
    """The same of a module."""

    def forward(self, input: torch.Tensor, training: bool = False) -> torch.Tensor:  # noqa: A002  # torch's name
        self.training = training
        return super().forward(input) * 1.5
