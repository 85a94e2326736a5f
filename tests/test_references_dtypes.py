"""The vouched-for layers in every dtype, and where a dtype has few digits: large means and constant channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from tests.reference_norms import Data, Function, NumpyNorm, TorchNorm, assert_close, assert_same

dtypes = pytest.mark.parametrize(
    ("dtype", "layer_dtype"),
    [(a, b) for a in ("float16", "float32", "float64") for b in ("float16", "float32", "float64")],
)
TWO_VALUES = np.repeat([1.0, 3.0], 4096)[
    :, np.newaxis
]  # sums are exact in float32, and stop at 2048 or 4096 in float16


def unit_of(*names: str) -> float:
    return float(max(np.finfo(np.float16 if name == "float16" else np.float32).eps for name in names))


@dtypes
def test_numpy_dtypes(dtype: str, layer_dtype: str) -> None:
    x = TWO_VALUES.astype(dtype)
    layer = NumpyNorm(1, momentum=1.0, dtype=layer_dtype)
    y = layer(x)
    dx = layer.backward(np.ones_like(x))
    assert y.dtype == dx.dtype == dtype
    arrays = [layer.running_mean, layer.running_var, layer.gamma, layer.beta, layer.dgamma, layer.dbeta]
    assert {a.dtype for a in arrays} == {np.dtype(layer_dtype)}
    wanted = [2.0, 8192 / 8191, 1.0, 0.0, 0.0, 8192.0]
    assert_close([a.item() for a in arrays], wanted, unit_of(dtype, layer_dtype))


@dtypes
def test_torch_dtypes(dtype: str, layer_dtype: str) -> None:
    x = torch.tensor(TWO_VALUES.astype(dtype), requires_grad=True)
    layer = TorchNorm(1, momentum=1.0, dtype=getattr(torch, layer_dtype))
    y = layer(x)
    dx, dbeta = torch.autograd.grad(y, (x, layer.beta), torch.ones_like(y))
    assert y.dtype == dx.dtype == x.dtype
    tensors = [layer.running_mean, layer.running_var, dbeta]
    assert {t.dtype for t in tensors} == {getattr(torch, layer_dtype)}
    assert_close([t.item() for t in tensors], [2.0, 8192 / 8191, 8192.0], unit_of(dtype, layer_dtype))


def test_numpy_computes_half_precision_in_float32() -> None:
    data = Data((64, 3))
    x, dy = data.x.astype(np.float16), data.dy.astype(np.float16)
    layer, wide = NumpyNorm(3), NumpyNorm(3)
    y, dx = wide(x.astype(np.float32)), wide.backward(dy.astype(np.float32))
    assert_same([y.astype(np.float16), dx.astype(np.float16)], [layer(x), layer.backward(dy)])
    assert_same([wide.running_var, wide.dgamma, wide.dbeta], [layer.running_var, layer.dgamma, layer.dbeta])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_torch_computes_half_precision_in_float32(dtype: torch.dtype) -> None:
    x = torch.tensor(Data((64, 3)).x).to(dtype)
    layer, wide = TorchNorm(3), TorchNorm(3)
    assert torch.equal(layer(x), wide(x.float()).to(dtype))
    assert torch.equal(layer.running_var, wide.running_var)


def test_buffers_of_half_precision_are_averaged_in_float32() -> None:
    x = np.random.default_rng(3).normal(1, 2, (8, 50)).astype(np.float32)
    numpy_half, numpy_wide = NumpyNorm(50, 0.3, dtype=np.float16), NumpyNorm(50, 0.3)
    torch_half, torch_wide = TorchNorm(50, 0.3, dtype=torch.float16), TorchNorm(50, 0.3)
    for norm in (numpy_half, numpy_wide):
        norm(x)
    for norm in (torch_half, torch_wide):
        norm(torch.tensor(x))
    assert_same([numpy_wide.running_var.astype(np.float16)], [numpy_half.running_var])
    assert_same([torch_wide.running_var.half().numpy()], [torch_half.running_var.numpy()])


def numpy_moments(x: Any) -> tuple[Any, Any]:
    layer = NumpyNorm(x.shape[1], momentum=1.0)
    return layer(x), layer.running_var


def torch_moments(x: Any) -> tuple[Any, Any]:
    layer = TorchNorm(x.shape[1], momentum=1.0, unbiased=False)
    return layer(torch.tensor(x)).detach().numpy(), layer.running_var.numpy()


@pytest.mark.parametrize("moments", [numpy_moments, torch_moments])
def test_large_means_and_constant_channels(moments: Function) -> None:
    """A mean of 1e4 deviations in float32 leaves no digit of E[x^2] - E[x]^2; a constant channel has no variance."""
    x = (np.random.default_rng(1).standard_normal((1000, 2)) + 1e4).astype(np.float32)
    x[:, 1] = 0.1
    y, var = moments(x)
    exact = x[:, 0].astype(np.float64)
    assert var[0] == pytest.approx(exact.var(ddof=1), rel=1e-5)
    assert var[1] < 1e-12
    # The mean is rounded to half a unit of 2**-10, and summed with a few such errors.
    np.testing.assert_allclose(y[:, 0], (exact - exact.mean()) / np.sqrt(exact.var() + 1e-5), atol=4 * 2.0**-10)
    # Here its error, a few units of 0.1, is magnified by 1 / sqrt(eps).
    assert np.abs(y[:, 1]).max() < 8 * 0.1 * 2.0**-24 / np.sqrt(1e-5)


def test_gradients_of_a_constant_channel_are_finite() -> None:
    x = torch.full((7, 2), 0.1, requires_grad=True)
    (dx,) = torch.autograd.grad(TorchNorm(2, eps=1e-12)(x)[0].sum(), x)
    layer = NumpyNorm(2, eps=1e-12)
    layer(np.full((7, 2), 0.1, np.float32))
    assert torch.isfinite(dx).all()
    assert np.isfinite(layer.backward(np.eye(7, 2, dtype=np.float32))).all()


def test_numpy_corrects_its_mean() -> None:
    assert np.abs(NumpyNorm(1)(np.full((1000, 1), 0.1, np.float32))).max() < 2.0**-24
