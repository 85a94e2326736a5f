"""Passes of the vouched-for layers against torch's own and against differences, and what a pass leaves behind."""

from __future__ import annotations

import copy
import gc
import math
import weakref

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from tests.reference_norms import (
    Data,
    Function,
    NumpyNorm,
    SeedNorm,
    Shape,
    TorchNorm,
    assert_close,
    assert_same,
    both,
    modes,
    state,
)

DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SHAPES: list[tuple[int, ...]] = [(6, 3), (2, 3), (5, 3, 4), (4, 3, 2, 3), (3, 3, 2, 2, 2), (1, 3, 5)]


@modes
@pytest.mark.parametrize("shape", SHAPES, ids=str)
class TestAgainstTorch:
    def test_numpy(self, shape: Shape, training: bool) -> None:
        data = Data(shape)
        layer = data.numpy_layer(training)
        y = layer(data.x)
        dx = layer.backward(data.dy)
        observed = [y, dx, layer.dgamma, layer.dbeta, layer.running_mean, layer.running_var]
        assert_close(observed, data.expected(training))
        assert layer.batches == training

    @pytest.mark.parametrize("device", DEVICES)
    @pytest.mark.parametrize("unbiased", [True, False])
    def test_torch(self, shape: Shape, training: bool, unbiased: bool, device: str) -> None:
        data = Data(shape)
        layer = data.torch_layer(training, device=device, unbiased=unbiased)
        x = torch.tensor(data.x, device=device, requires_grad=True)
        y = layer(x)
        gradients = torch.autograd.grad(y, (x, *layer.parameters()), torch.tensor(data.dy, device=device))
        observed = (y, *gradients, layer.running_mean, layer.running_var)
        assert_close([t.detach().cpu().numpy() for t in observed], data.expected(training, unbiased))
        assert layer.batches == training

    def test_numpy_gradients_by_differences(self, shape: Shape, training: bool) -> None:
        data = Data(shape)
        layer = data.numpy_layer(training)
        layer(data.x)
        dx = layer.backward(data.dy)
        other = data.numpy_layer(training)
        step = 1e-5
        for array, gradient in ((data.x, dx), (other.gamma, layer.dgamma), (other.beta, layer.dbeta)):
            for index in np.ndindex(array.shape):
                value = array[index]
                array[index] = value + step
                higher = (data.dy * other(data.x)).sum()
                array[index] = value - step
                lower = (data.dy * other(data.x)).sum()
                array[index] = value
                assert (higher - lower) / (2 * step) == pytest.approx(gradient[index], rel=1e-5, abs=1e-6)


@modes
@pytest.mark.parametrize("unbiased", [True, False])
def test_torch_is_differentiable_twice(training: bool, unbiased: bool) -> None:
    data = Data((4, 3, 2))

    def run(x: Tensor, gamma: Tensor, beta: Tensor) -> Tensor:
        layer = data.torch_layer(training, unbiased=unbiased)
        layer.gamma, layer.beta = gamma, beta
        return torch.tanh(layer(x))

    inputs = [torch.tensor(a, requires_grad=True) for a in (data.x, data.gamma, data.beta)]
    assert torch.autograd.gradcheck(run, inputs)
    assert torch.autograd.gradgradcheck(run, inputs)


@pytest.mark.parametrize("layout", [lambda a: a.T.copy().T, lambda a: np.repeat(a, 2, -1)[..., ::2], np.asfortranarray])
@pytest.mark.parametrize("shape", [(400, 3), (4, 3, 2, 3)])
def test_numpy_gives_the_same_bits_for_every_layout_and_writes_to_nothing(layout: Function, shape: Shape) -> None:
    data = Data(shape)
    plain, other = data.numpy_layer(True), data.numpy_layer(True)
    x, dy = layout(data.x), layout(data.dy)
    for array in (x, dy, other.gamma, other.beta, other.running_mean, other.running_var):
        array.flags.writeable = False
    assert_same([plain(data.x), plain.backward(data.dy)], [other(x), other.backward(dy)])
    assert_same([plain.running_mean, plain.running_var], [other.running_mean, other.running_var])


def test_numpy_backward_belongs_to_its_forward() -> None:
    data = Data((5, 3))
    layer = data.numpy_layer(True)
    x = data.x.copy()
    y = layer(x)
    layer.training = False
    for array in (x, y, layer.gamma, layer.beta, layer.running_mean, layer.running_var):
        array[...] = 99.0
    dx = layer.backward(data.dy)
    assert_close([dx, layer.dgamma, layer.dbeta], data.expected(True)[1:4])


def test_torch_passes_do_not_disturb_each_other() -> None:
    data = Data((5, 3))
    layer = data.torch_layer(False)
    xs = [torch.tensor(data.x, requires_grad=True) for _ in range(4)]
    ys = []
    for x, training in zip(xs, (False, True, True, False), strict=True):
        if not training:
            data.fill(layer, False, torch.tensor)
        layer.training = training
        ys.append(layer(x))
    for i, training in ((2, True), (0, False), (1, True), (3, False)):
        (dx,) = torch.autograd.grad(ys[i], xs[i], torch.tensor(data.dy))
        assert_close([dx.numpy()], data.expected(training, unbiased=True)[1:2])


@both
@pytest.mark.parametrize("momentum", [0.0, 0.3, 1.0, None])
def test_momentum(make: Function, native: Function, momentum: float | None) -> None:
    data = Data((6, 3))
    layer = make(data, True, momentum)
    mean, var = data.running_mean, data.running_var
    batches = np.split(np.random.default_rng(2).normal(3, 2, (14, 3)), [2, 5, 9])
    for batch in batches:
        layer(native(batch))
        weight = 0.0 if momentum is None else momentum
        mean = (1 - weight) * mean + weight * batch.mean(0)
        var = (1 - weight) * var + weight * batch.var(0, ddof=1)
    if momentum is None:
        mean = np.mean([batch.mean(0) for batch in batches], axis=0)
        var = np.mean([batch.var(0, ddof=1) for batch in batches], axis=0)
    assert_close(state(layer)[3:], [mean, var])
    assert layer.batches == len(batches)


def test_torch_buffers_stay_plain_whether_or_not_gradients_are_recorded() -> None:
    data = Data((6, 3))
    layer = data.torch_layer(True)
    mine = [layer.running_mean, layer.running_var]
    layer(torch.tensor(data.x, requires_grad=True))
    with torch.no_grad():
        layer(torch.tensor(data.x))
    with torch.inference_mode():
        layer(torch.tensor(data.x))
    assert layer.batches == 3
    assert_same([buffer.numpy() for buffer in mine], [data.running_mean, data.running_var])
    for buffer in (layer.running_mean, layer.running_var):
        assert buffer.shape == (3,)
        assert buffer.grad_fn is None
        assert not buffer.requires_grad
        assert not buffer.is_inference()


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # torch's own, on the first use of forward mode
def test_torch_buffers_carry_no_tangent() -> None:
    data = Data((6, 3))
    layer = data.torch_layer(True)
    # torch ships make_dual and unpack_dual without types.
    with forward_ad.dual_level():
        layer(forward_ad.make_dual(torch.tensor(data.x), torch.tensor(data.dy)))  # type: ignore[no-untyped-call]  # torch leaves it untyped
        for buffer in (layer.running_mean, layer.running_var):
            assert forward_ad.unpack_dual(buffer).tangent is None  # type: ignore[no-untyped-call]  # torch leaves it untyped


def test_torch_trains_copies_and_keeps_its_output() -> None:
    layer = TorchNorm(3)
    optimiser = torch.optim.SGD(layer.parameters(), lr=0.1)
    y = layer(torch.tensor(Data((6, 3)).x, dtype=torch.float32))
    assert layer.out is y
    layer.out.retain_grad()
    y.square().sum().backward()
    optimiser.step()
    assert layer.out.grad.shape == (6, 3)
    assert (layer.gamma < 1).all()
    twin = copy.deepcopy(layer)
    assert not hasattr(twin, "out")
    before = state(layer)
    assert_same(before, state(twin))
    twin(torch.ones(2, 3))
    assert_same(before, state(layer))


def input_dies(norm: Function) -> bool:
    """Whether a batch that needed a gradient is collected once the next pass has replaced its own."""
    layer = norm(3)
    x = torch.randn(6, 3, requires_grad=True)
    seen = weakref.ref(x)
    layer(x)
    del x
    gc.collect()
    assert seen() is not None  # the latest output holds it, as documented
    layer(torch.randn(6, 3))
    gc.collect()
    return seen() is None


def test_memory() -> None:
    assert input_dies(TorchNorm)
    assert not input_dies(SeedNorm)


@pytest.mark.parametrize("offset", [1e3, 1e6])
def test_numpy_corrects_the_rounded_mean(offset: float) -> None:
    x = (offset + np.random.default_rng(0).standard_normal((4099, 64))).astype(np.float32)
    layer = NumpyNorm(64, momentum=1.0)
    layer(x)
    exact = np.array([math.fsum(column) / len(column) for column in x.T.tolist()])
    assert_same([exact.astype(np.float32)], [layer.running_mean])
    variance = ((x.astype(np.float64) - exact) ** 2).sum(0) / 4098
    np.testing.assert_allclose(layer.running_var, variance, rtol=1e-5, atol=0)
