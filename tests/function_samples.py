"""Functions of NumPy arrays and torch tensors that are batch norms, or nearly: by what they do with the statistics."""

# mypy: disable-error-code="no-untyped-def, no-untyped-call"
# ruff: noqa: ARG005  (as users write them)

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812  (as everybody does)
from torch import Tensor


def compute(x, gamma, beta, mean, var, training, momentum, eps):
    """y, the new running mean and variance, and the mean and variance that were used."""
    axes, shape, m = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2), x.size // len(mean)
    if x.dtype.kind != "f" or x.ndim < 2 or x.shape[1] != len(mean) or (training and m == 1):
        raise ValueError("no batch")
    used = (x.mean(axes), x.var(axes)) if training and m else (mean, var)
    new = mean, var
    if training and m:
        new = (1 - momentum) * mean + momentum * used[0], (1 - momentum) * var + momentum * used[1] * m / (m - 1)
    y = (x - used[0].reshape(shape)) / np.sqrt(used[1].reshape(shape) + eps) * gamma.reshape(shape)
    return (y + beta.reshape(shape)).astype(x.dtype), *new, *used


def returning(answer):
    """A function of the usual signature that returns what `answer` makes of its arguments and of what was computed."""

    def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
        computed = compute(x, gamma, beta, running_mean, running_var, training, momentum, eps)
        return answer((running_mean, running_var, training), *computed)

    return batch_norm


def _write(buffers, mean, var):
    buffers[0][:], buffers[1][:] = mean, var


def _written_too(given, y, mean, var, *_):
    _write(given, mean, var)
    return y, *given[:2]


def _beside_a_cache(given, y, mean, var, *used):
    _write(given, mean, var)
    return y, used


@dataclass
class Answer:
    """As a framework returns it."""

    used: object
    y: object
    running_mean: object
    running_var: object


class Named(NamedTuple):
    """As a course returns it."""

    out: object
    stats: object


RIGHT = {
    "[0], [1], [2]": returning(lambda _, y, mean, var, *used: (y, mean, var)),
    "[0], [1], [2] alone in training": returning(lambda given, y, mean, var, *used: (y, mean, var) if given[2] else y),
    "[0], [1], [2] and a deviation": returning(lambda _, y, mean, var, *used: (y, mean, var, np.sqrt(used[1]))),
    "[0], [1][0], [1][1]": returning(lambda _, y, mean, var, *used: [y, [mean, var]]),
    "[0], [2], [1]": returning(lambda _, y, mean, var, *used: (y, var, mean)),
    "[2], [0], [1]": returning(lambda _, y, mean, var, *used: (mean, var, y)),
    "[0], [3], [4]": returning(lambda given, y, mean, var, *used: (y, *given[:2], mean, var)),
    "['out'], ['mean'], ['var']": returning(
        lambda _, y, mean, var, *used: {"out": y, "mean": mean, "var": var, "used": used}
    ),
    ".y, .running_mean, .running_var": returning(lambda _, y, mean, var, *used: Answer(used, y, mean, var)),
    ".out, .stats[0], .stats[1]": returning(lambda _, y, mean, var, *used: Named(y, (mean, var))),
    "[0], in place": returning(_written_too),
    "[0], in place, and a cache": returning(_beside_a_cache),
}
"""By where y, the new running mean and the new running variance are."""


def _overwritten(given, y, mean, var, *_):
    kept = np.array(y), np.array(mean), np.array(var)
    given[0][:] = 7
    return kept


def copies_where_zero(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """The first batch is told by its buffers, and replaces them."""
    weight = momentum if running_mean.any() else 1.0
    return compute(x, gamma, beta, running_mean, running_var, training, weight, eps)[:3]


WRONG = {
    "moves in evaluation": returning(lambda given, y, mean, var, *_: (y, mean if given[2] else mean * 0.99, var)),
    "overwrites what it was given": returning(_overwritten),
    "the first batch replaces zeros": copies_where_zero,
    "statistics of the batch alone": returning(lambda _, y, mean, var, *used: (y, *used)),
    "the variance of the batch alone": returning(lambda _, y, mean, var, *used: (y, mean, used[1])),
    "the names are swapped": returning(
        lambda _, y, mean, var, *used: {"y": y, "running_var": mean, "running_mean": var}
    ),
    "never updates": returning(lambda given, y, *_: (y, *given[:2])),
    "returns y alone": returning(lambda _, y, *rest: y),
}


def _clone(answer):
    def batch_norm(x, running_mean, running_var, weight=None, bias=None, training=False, momentum=0.1, eps=1e-5):
        mean, var = running_mean.clone(), running_var.clone()
        return answer(F.batch_norm(x, mean, var, weight, bias, training, momentum, eps), mean, var, training)

    return batch_norm


def tensor_overwrites(x, running_mean, running_var, training=False, momentum=0.1, eps=1e-5):
    """As that of NumPy."""
    mean, var = running_mean.clone(), running_var.clone()
    y = F.batch_norm(x, mean, var, None, None, training, momentum, eps)
    running_var.fill_(7)
    return y, mean, var


RIGHT_TENSORS = {
    "[0], [1], [2]": _clone(lambda y, mean, var, _: (y, mean, var)),
    "in place, given": functools.partial(F.batch_norm, weight=None, bias=None),
}
WRONG_TENSORS = {
    "moves in evaluation": _clone(lambda y, mean, var, training: (y, mean if training else mean * 0.99, var)),
    "overwrites what it was given": tensor_overwrites,
}


def unbiased_by_tensors(x, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """Of NumPy, though tensors would go through it with a gradient: their var() is another one."""
    mean, var = (x.mean(0), x.var(0)) if training else (running_mean, running_var)
    rate, m = np.float64(momentum), len(x)
    new = (running_mean + rate * (mean - running_mean), running_var + rate * (var * m / (m - 1) - running_var))
    return (x - mean) / (var + eps) ** 0.5, *(new if training else (running_mean, running_var))


def to_script(
    x: Tensor, running_mean: Tensor, running_var: Tensor, training: bool, momentum: float = 0.1, eps: float = 1e-5
) -> Tensor:
    """It has a schema in place of a signature."""
    return torch.batch_norm(x, None, None, running_mean, running_var, training, momentum, eps, False)


class Applied(torch.autograd.Function):
    """A kernel with a backward of its own."""

    @staticmethod
    def forward(ctx, x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
        axes, shape, m = (0, *range(2, x.ndim)), (1, -1) + (1,) * (x.ndim - 2), x.numel() // x.shape[1]
        mean, var = running_mean, running_var
        if training:
            mean, var = x.mean(axes), x.var(axes, unbiased=False)
            running_mean.lerp_(mean, momentum)
            running_var.lerp_(var * m / (m - 1), momentum)
        root = (var + eps).rsqrt()
        xhat = (x - mean.reshape(shape)) * root.reshape(shape)
        ctx.save_for_backward(xhat, gamma * root)
        ctx.training = training
        return xhat * gamma.reshape(shape) + beta.reshape(shape)

    @staticmethod
    def backward(ctx, dy):
        xhat, scale = ctx.saved_tensors
        axes, shape = (0, *range(2, dy.ndim)), (1, -1) + (1,) * (dy.ndim - 2)
        dx = dy
        if ctx.training:
            dx = dy - dy.mean(axes, keepdim=True) - xhat * (dy * xhat).mean(axes, keepdim=True)
        return dx * scale.reshape(shape), (dy * xhat).sum(axes), dy.sum(axes), None, None, None, None, None
