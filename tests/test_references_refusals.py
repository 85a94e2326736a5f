"""What the vouched-for layers refuse and what the seed's class accepts in its place, with its other defects.

The last test is of the table that names the layers: each of their files stands alone.
"""

from __future__ import annotations

import ast

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.reference_norms import (
    EPS,
    MOMENTUM,
    REFERENCE,
    Data,
    Function,
    NumpyNorm,
    SeedNorm,
    Shape,
    TorchNorm,
    assert_close,
    assert_same,
    both,
    load,
    modes,
    state,
)

TABLE: dict[str, str] = load("__init__").REFERENCES


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
    with pytest.raises(ValueError, match=r"x has (shape|dtype)") as refused:
        layer(native(BAD[bad]))
    if "channel" in bad:
        assert f"{BAD[bad].shape[1]} channels: the layer has 3" in str(refused.value)
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


@pytest.mark.parametrize("norm", [NumpyNorm, TorchNorm])
def test_one_value_in_each_of_many_channels(norm: Function) -> None:
    x = np.ones((1, 300), np.float32)
    with pytest.raises(ValueError, match="one value per channel"):
        norm(300)(torch.tensor(x) if norm is TorchNorm else x)


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
    for dtype in (int, complex):
        with pytest.raises(ValueError, match="floating-point"):
            NumpyNorm(3, dtype=dtype)
    layer = NumpyNorm(3)
    with pytest.raises(ValueError, match="before any forward"):
        layer.backward(np.ones((5, 3)))
    layer(Data((5, 3)).x)
    for dy in (np.ones((3, 5)), np.ones((5, 2)), np.ones((6, 3)), np.ones((5, 3), int), np.ones((5, 3), complex)):
        with pytest.raises(ValueError, match="dy has"):
            layer.backward(dy)
    assert layer.dgamma is None


def test_what_is_not_given_is_as_in_torch() -> None:
    theirs = torch.nn.BatchNorm1d(3)
    for layer in (NumpyNorm(3), TorchNorm(3)):
        assert (layer.momentum, layer.eps, layer.training) == (theirs.momentum, theirs.eps, theirs.training)
        assert type(layer).bnspec_ranks == (2, 3, 4, 5)  # of BatchNorm1d, 2d and 3d together
    assert [p.requires_grad for p in TorchNorm(3).parameters()] == [p.requires_grad for p in theirs.parameters()]


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
