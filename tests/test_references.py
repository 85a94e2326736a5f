"""The vouched-for layers against torch's own, against differences and at the edges; the seed's class by its defects.

The layers are loaded from their files and compared here without any part of the suite, which judges them on its own.
"""

from __future__ import annotations

import ast
import copy
import gc
import importlib.util
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from torch import Tensor
from torch.autograd import forward_ad

REFERENCE = Path(__file__).resolve().parent.parent / "reference"
DEVICES = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
SHAPES: list[tuple[int, ...]] = [(6, 3), (2, 3), (5, 3, 4), (4, 3, 2, 3), (3, 3, 2, 2, 2), (1, 3, 5)]
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


TABLE: dict[str, str] = load("__init__").REFERENCES
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


BAD = {
    "rank 1": np.ones(3),
    "rank 0": np.ones(()),
    "one channel": np.ones((5, 1)),
    "four channels": np.ones((5, 4)),
    "channels last": np.ones((5, 4, 3)),
    "integers": np.ones((5, 3), int),
    "booleans": np.ones((5, 3), bool),
    "complex numbers": np.ones((5, 3), complex),
}


@both
@modes
@pytest.mark.parametrize("bad", BAD)
def test_refusals_change_nothing(make: Function, native: Function, bad: str, training: bool) -> None:
    layer = make(Data((5, 3)), training)
    before = state(layer)
    with pytest.raises(ValueError, match=r"x has (shape|dtype)"):
        layer(native(BAD[bad]))
    assert_same(before, state(layer))


@both
@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1, 1)])
def test_one_value_per_channel(make: Function, native: Function, shape: Shape) -> None:
    data = Data(shape)
    layer = make(data, True)
    before = state(layer)
    with pytest.raises(ValueError, match="one value per channel"):
        layer(native(data.x))
    assert_same(before, state(layer))
    layer.training = False
    assert_close([layer(native(data.x)).tolist()], [data.expected(False)[0].tolist()])


@both
@modes
@pytest.mark.parametrize("shape", [(0, 3), (0, 3, 2), (4, 3, 0)])
def test_empty_batches(make: Function, native: Function, shape: Shape, training: bool) -> None:
    layer = make(Data((5, 3)), training)
    before = state(layer)
    y = layer(native(np.ones(shape)))
    assert tuple(y.shape) == shape
    assert_same(before, state(layer))
    if isinstance(y, Tensor):
        gradients = [gradient.numpy() for gradient in torch.autograd.grad(y.sum(), layer.parameters())]
    else:
        assert layer.backward(y).shape == shape
        gradients = [layer.dgamma, layer.dbeta]
    assert_same([np.zeros(3)] * 2, gradients)


@pytest.mark.parametrize("norm", [NumpyNorm, TorchNorm])
@pytest.mark.parametrize("options", [{"eps": 0.0}, {"eps": float("nan")}, {"momentum": 1.5}, {"momentum": -0.1}])
def test_constructors_refuse(norm: Function, options: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="is needed"):
        norm(3, **options)


def test_numpy_refuses_a_dtype_and_a_backward() -> None:
    with pytest.raises(ValueError, match="floating-point"):
        NumpyNorm(3, dtype=int)
    layer = NumpyNorm(3)
    with pytest.raises(ValueError, match="before any forward"):
        layer.backward(np.ones((5, 3)))
    layer(Data((5, 3)).x)
    for dy in (np.ones((3, 5)), np.ones((5, 3), int), np.ones((5, 3), complex)):
        with pytest.raises(ValueError, match="dy has"):
            layer.backward(dy)
    assert layer.dgamma is None


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
        layer(forward_ad.make_dual(torch.tensor(data.x), torch.tensor(data.dy)))  # type: ignore[no-untyped-call]
        for buffer in (layer.running_mean, layer.running_var):
            assert forward_ad.unpack_dual(buffer).tangent is None  # type: ignore[no-untyped-call]


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


class TestSeed:
    """What the seed's class does, right and wrong."""

    def test_the_unbiased_variance_normalises_and_is_stored(self) -> None:
        data = Data((6, 3))
        layer = data.fill(SeedNorm(3, MOMENTUM, EPS), True, torch.tensor)
        y, expected = layer(torch.tensor(data.x)), data.expected(True, unbiased=True)
        assert_close([y, layer.running_mean[0], layer.running_var[0]], [expected[0], *expected[4:]])
        layer = data.fill(SeedNorm(3, MOMENTUM, EPS), False, torch.tensor)
        assert_close([layer(torch.tensor(data.x))], data.expected(False)[:1])

    def test_parameters_are_plain_and_the_output_is_kept(self) -> None:
        layer = SeedNorm(3)
        assert (layer.momentum, layer.eps, layer.training) == (0.1, 1e-5, True)
        assert layer(torch.randn(4, 3)) is layer.out
        assert not any(p.requires_grad for p in (*layer.parameters(), layer.out))

    def test_buffers_change_shape_and_carry_the_graph(self) -> None:
        layer = SeedNorm(3)
        assert layer.running_mean.shape == layer.running_var.shape == (3,)
        layer(torch.randn(4, 3, requires_grad=True)).sum().backward()
        assert layer.running_mean.shape == layer.running_var.shape == (1, 3)
        assert layer.running_mean.grad_fn is not None
        layer.training = False
        with pytest.raises(RuntimeError, match="second time"):
            layer(torch.randn(4, 3)).sum().backward()

    @pytest.mark.filterwarnings(r"ignore:var\(\)")
    def test_batches_of_one_and_of_none_poison_the_buffers(self) -> None:
        layer = SeedNorm(3)
        assert layer(torch.randn(1, 3)).isnan().all()
        assert layer.running_mean.isfinite().all()
        layer(torch.randn(8, 3))
        assert layer.running_var.isnan().all()
        layer(torch.ones(0, 3))
        assert layer.running_mean.isnan().all()

    def test_shapes_are_not_checked(self) -> None:
        assert SeedNorm(3)(torch.randn(8, 1)).shape == (8, 3)
        assert SeedNorm(3)(torch.randn(3)).shape == (3,)
        layer = SeedNorm(3)
        layer(torch.randn(4, 5, 3))
        assert layer.running_mean.shape == (1, 5, 3)
        layer.training = False
        assert layer(torch.randn(5, 3)).shape == (1, 5, 3)


def test_the_table_names_files_that_stand_alone() -> None:
    assert set(TABLE) == {"numpy", "torch", "seed"}
    for name, target in TABLE.items():
        module, attribute = target.removeprefix("bnspec.reference.").split(":")
        assert callable(getattr(load(module), attribute))
        allowed = {"__future__", "typing", "numpy" if name == "numpy" else "torch"}
        for node in ast.walk(ast.parse((REFERENCE / f"{module}.py").read_text())):
            if isinstance(node, ast.Import):
                assert {alias.name.split(".")[0] for alias in node.names} <= allowed
            if isinstance(node, ast.ImportFrom):
                assert (node.module or "").split(".")[0] in allowed
