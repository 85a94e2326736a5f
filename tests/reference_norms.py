"""The vouched-for layers and the seed's class, loaded from their files, and data with what torch itself makes of it.

They are compared without any part of the suite, which judges them on its own.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from torch import Tensor

REFERENCE = Path(__file__).resolve().parent.parent / "reference"
EPS, MOMENTUM = 0.03, 0.3

Shape = tuple[int, ...]
Function = Callable[..., Any]


def load(name: str) -> Any:
    spec = importlib.util.spec_from_file_location(f"reference_{name}", REFERENCE / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NumpyNorm = load("numpy_batchnorm").BatchNorm
TorchNorm = load("torch_batchnorm").BatchNorm1d
SeedNorm = load("seed_batchnorm").BatchNorm1d


class Data:
    """A batch, an upstream gradient, parameters and buffers in float64, all away from their defaults."""

    def __init__(self, shape: Shape) -> None:
        random = np.random.default_rng(shape)
        column = (1, 3) + (1,) * (len(shape) - 2)
        scale, offset = np.array([0.2, 1.0, 7.0]).reshape(column), np.array([-0.4, 0.0, 9.0]).reshape(column)
        self.x = scale * random.standard_normal(shape) + offset
        self.dy = random.standard_normal(shape) + 0.5
        self.gamma, self.beta = np.array([-1.5, 0.0, 0.6]), np.array([0.7, -2.0, 1.1])
        self.running_mean, self.running_var = np.array([0.3, -1.0, 6.0]), np.array([0.05, 2.0, 30.0])

    def fill(self, layer: Any, training: bool, convert: Function) -> Any:
        layer.training = training
        for name in ("gamma", "beta", "running_mean", "running_var"):
            setattr(layer, name, convert(getattr(self, name)))
        return layer

    def numpy_layer(self, training: bool, momentum: float | None = MOMENTUM) -> Any:
        return self.fill(NumpyNorm(3, momentum, EPS, np.float64), training, np.copy)

    def torch_layer(self, training: bool, momentum: float | None = MOMENTUM, **options: Any) -> Any:
        layer = TorchNorm(3, momentum, EPS, dtype=torch.float64, **options)
        self.fill(layer, training, lambda values: torch.tensor(values).to(layer.gamma))
        for parameter in layer.parameters():
            parameter.requires_grad_()
        return layer

    def expected(self, training: bool, unbiased: bool = False) -> list[Any]:
        """y, dx, dgamma, dbeta, running mean and variance by torch.nn.functional.batch_norm in float64.

        The unbiased variance enters through (m - 1)(v + eps) = m (v' + eps (m - 1) / m), v' being the biased one.
        """
        ratio = 1 - self.gamma.size / self.x.size if training and unbiased else 1.0
        x, gamma, beta = (torch.tensor(a, requires_grad=True) for a in (self.x, self.gamma, self.beta))
        mean, var = torch.tensor(self.running_mean), torch.tensor(self.running_var)
        y = F.batch_norm(x, mean, var, gamma * ratio**0.5, beta, training, MOMENTUM, EPS * ratio)
        gradients = torch.autograd.grad(y, (x, gamma, beta), torch.tensor(self.dy))
        return [t.detach().numpy() for t in (y, *gradients, mean, var)]


both = pytest.mark.parametrize(
    ("make", "native"), [(Data.numpy_layer, np.asarray), (Data.torch_layer, torch.tensor)], ids=["numpy", "torch"]
)
modes = pytest.mark.parametrize("training", [True, False])


def state(layer: Any) -> list[Any]:
    """Copies of everything that a refusal has to leave alone."""
    tensors = (layer.gamma, layer.beta, layer.running_mean, layer.running_var)
    return [layer.batches, *(t.detach().cpu().numpy().copy() if isinstance(t, Tensor) else t.copy() for t in tensors)]


def assert_same(before: list[Any], after: list[Any]) -> None:
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new, strict=True)


def assert_close(observed: list[Any], expected: list[Any], tolerance: float = 1e-12) -> None:
    for one, other in zip(observed, expected, strict=True):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)
