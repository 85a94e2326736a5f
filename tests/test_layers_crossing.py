"""What crosses an adapter and comes back: the numbers, their bits and strides, and no memory."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from torch import nn

from bnspec.cases.layouts import LAYOUTS
from bnspec.layers.implementation import resolve
from bnspec.layers.protocol import ALL, NONE, Array, as_dtype
from tests.layer_samples import (
    OPEN,
    REFERENCE,
    SEEN,
    TEACHING,
    NumpySpy,
    PlainTorch,
    Spy,
    batch,
    make,
    sample,
    some_state,
)

RIGHT: dict[str, Any] = {
    "torch module": nn.BatchNorm1d,
    "torch instance": nn.BatchNorm1d(3, eps=1e-3, momentum=0.25),
    "torch partial": functools.partial(nn.BatchNorm1d, 3),
    "torch subclass": sample("right_layers.py:HandsOn"),
    "torch plain": PlainTorch,
    "torch factory": sample("right_layers.py:factory"),
    "torch function": F.batch_norm,
    "torch function by other names": sample("right_layers.py:functional"),
    "torch function, partial": functools.partial(F.batch_norm, eps=1e-3),
    "seed's shape": functools.partial(REFERENCE, unbiased=False),
    "numpy": TEACHING,
    "numpy triple": sample("right_layers.py:TeachingTriple"),
    "numpy forward": sample("right_layers.py:ForwardOnly"),
}


# ---- the numbers
@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_each_shape_trains_evaluates_and_differentiates(name: str, dtype: str) -> None:
    implementation = resolve(RIGHT[name])
    assert dtype in implementation.promises.dtypes
    layer, start, structure = implementation.make(replace(OPEN, dtype=dtype)), some_state(dtype), OPEN
    layer.load(start)
    x, dy = batch(5, 3, dtype=dtype), batch(5, 3, dtype=dtype, seed=1)
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    gamma, beta, mean, var = (
        np.asarray(a, np.float64) for a in (start.gamma, start.beta, start.running_mean, start.running_var)
    )
    wide, upstream = x.astype(np.float64), dy.astype(np.float64)

    def close(got: Array | None, wanted: Array) -> None:
        assert got is not None
        assert got.dtype == np.dtype(dtype)
        np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance)

    rstd = 1 / np.sqrt(wide.var(axis=0) + structure.eps)
    xhat = (wide - wide.mean(axis=0)) * rstd
    passed = layer.run(x, training=True, grad=ALL)
    gradients = passed.backward(dy)
    close(passed.y, gamma * xhat + beta)
    dgamma, dbeta = (upstream * xhat).sum(axis=0), upstream.sum(axis=0)
    close(gradients.gamma, dgamma)
    close(gradients.beta, dbeta)
    close(gradients.x, gamma * rstd * (upstream - dbeta / 5 - xhat * dgamma / 5))
    after = layer.state()
    close(after.running_mean, 0.75 * mean + 0.25 * wide.mean(axis=0))
    close(after.running_var, 0.75 * var + 0.25 * wide.var(axis=0, ddof=1))
    close(after.gamma, gamma)
    layer.load(start)
    close(layer.run(x, training=False).y, gamma * (wide - mean) / np.sqrt(var + structure.eps) + beta)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_low_precision_crosses_bit_for_bit(dtype: str) -> None:
    layer = make(nn.BatchNorm1d, replace(OPEN, dtype=dtype))
    start, x = some_state(dtype), batch(5, 3, dtype=dtype)
    layer.load(start)
    passed = layer.run(x, training=False, grad=ALL)
    assert (passed.describe().dtype, passed.y.dtype) == (dtype, as_dtype(dtype))
    assert passed.read("x").tobytes() == x.tobytes()
    assert np.asarray(layer.state().running_var).tobytes() == np.asarray(start.running_var).tobytes()
    dx = passed.backward(x).x
    assert dx is not None
    assert dx.dtype == as_dtype(dtype)


# ---- what crosses: strides, and no memory
def laid_out() -> dict[str, Array]:
    plain = batch(4, 3, 5, 2)
    named = {name: lay(plain) for name, lay in LAYOUTS.items()}
    frozen = plain.copy()
    frozen.flags.writeable = False
    moved = np.lib.stride_tricks.as_strided(batch(4, 3, 1), (4, 3, 1), (24, 8, 8 * 77))
    return named | {
        "expanded": np.broadcast_to(plain[:1], plain.shape),
        "expanded from one number": np.broadcast_to(np.float64(1), plain.shape),
        "overlapping": np.lib.stride_tricks.sliding_window_view(batch(6, 3), 2, axis=0),
        "offset, contiguous": plain[1:],
        "read-only": frozen,
        "an axis of length one": moved,
    }


@pytest.mark.parametrize("name", laid_out())
def test_tensors_lie_as_arrays_do(name: str) -> None:
    x = laid_out()[name]
    layer = make(Spy)
    passed = layer.run(x, training=True, grad=ALL)
    passed.backward(x)
    for what in ("x", "dy"):
        seen = SEEN[what]
        assert tuple(stride * x.itemsize for stride in seen.stride()) == x.strides
        np.testing.assert_array_equal(seen.detach().numpy(), x)
        np.testing.assert_array_equal(passed.read(what), x)


@pytest.mark.parametrize("name", laid_out())
def test_arrays_lie_as_arrays_do(name: str) -> None:
    x = laid_out()[name]
    passed = make(NumpySpy).run(x, training=True, grad=ALL)
    passed.backward(x)
    for what in ("x", "dy"):
        seen = SEEN[what]
        assert (seen.strides, seen.flags.writeable) == (x.strides, x.flags.writeable)
        assert not np.shares_memory(seen, x)
        np.testing.assert_array_equal(seen, x)


def test_offsets_cross_and_gaps_hold_nan() -> None:
    inside = LAYOUTS["sliced"](batch(4, 3))
    make(Spy).run(inside, training=True)
    x = SEEN["x"]
    assert x.storage_offset() == 6
    around = torch.as_strided(x, (24,), (1,), 0)
    assert int(around.isnan().sum()) == 24 - 12


def test_negative_strides_become_plain_because_torch_has_none() -> None:
    x = batch(4, 3)[::-1]
    make(Spy).run(x, training=True)
    assert SEEN["x"].is_contiguous()
    np.testing.assert_array_equal(SEEN["x"].numpy(), x)


def test_x_has_memory_of_its_own_and_is_no_leaf_where_it_needs_a_gradient() -> None:
    x = batch(4, 3)
    for grad in (NONE, ALL):
        make(Spy).run(x, training=True, grad=grad)
        assert (SEEN["x"].is_leaf, SEEN["x"].requires_grad) == (not grad.x, grad.x)
        assert SEEN["x"].data_ptr() != x.__array_interface__["data"][0]


@pytest.mark.parametrize("name", ["Overwrites", "NumpyOverwrites"])
def test_overwriting_shows_and_never_reaches_the_caller(name: str) -> None:
    x = batch(4, 3)
    kept, layer = x.copy(), make(sample(f"spying_layers.py:{name}"))
    first = layer.run(x, training=True)
    np.testing.assert_array_equal(x, kept)
    assert not first.read("x").any()
    assert (first.y == 1).all()
    layer.run(x, training=True)
    assert (first.y == 1).all()
    assert (first.read("y") == 2).all()


def test_an_upstream_gradient_that_is_overwritten_shows() -> None:
    dy = batch(4, 3)
    passed = make(sample("spying_layers.py:NumpyOverwrites")).run(batch(4, 3), training=True, grad=ALL)
    passed.backward(dy)
    assert dy.any()
    assert not passed.read("dy").any()
