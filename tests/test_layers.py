"""Layers through their adapters: what crosses, what comes back, and what is said of a subject that misbehaves."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from torch import Tensor, nn

from bnspec.cases.layouts import LAYOUTS
from bnspec.layers.implementation import Implementation, resolve
from bnspec.layers.protocol import ALL, NONE, OFF, Array, Grad, Layer, State, Structure, SubjectError, as_dtype
from bnspec.layers.target import load_target


def sample(name: str) -> Any:
    """An object of the files beside this one, by "file:attribute"."""
    return load_target(f"{Path(__file__).parent / 'targets' / name}").obj


SEED, REFERENCE, TEACHING = (load_target(f"reference:{name}").obj for name in ("seed", "torch", "numpy"))
PlainTorch = sample("right_layers.py:PlainTorch")
Spy, NumpySpy, SEEN = (sample(f"spying_layers.py:{name}") for name in ("Spy", "NumpySpy", "SEEN"))
OPEN = Structure(channels=3, rank=2, dtype="float64", device="cpu", eps=1e-3, momentum=0.25)
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


def batch(*shape: int, dtype: str = "float64", seed: int = 0) -> Array:
    return np.random.RandomState(seed).standard_normal(shape).astype(as_dtype(dtype))


def some_state(dtype: str = "float64") -> State:
    values = np.array([[2, -3, 0.5], [1, 0, -1], [0.25, 4, -2], [0.5, 3, 2]]).astype(as_dtype(dtype))
    return State(*values)


def make(subject: Any, structure: Structure = OPEN, **arguments: Any) -> Layer:
    return resolve(subject, arguments).make(structure)


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


# ---- gradients and graphs
@pytest.mark.parametrize("subject", [nn.BatchNorm1d, PlainTorch, REFERENCE, F.batch_norm])
@pytest.mark.parametrize("grad", [Grad(x=True), Grad(gamma=True), Grad(beta=True), Grad(False, True, True), ALL, NONE])
def test_what_asks_for_a_gradient_gets_one_and_nothing_else_does(subject: Any, grad: Grad) -> None:
    layer = make(subject)
    layer.run(batch(4, 3), training=True, grad=ALL)
    passed = layer.run(batch(4, 3), training=True, grad=grad)
    found = passed.backward(batch(4, 3, seed=1))
    assert [g is not None for g in (found.x, found.gamma, found.beta)] == [grad.x, grad.gamma, grad.beta]
    assert passed.describe().holds_graph == (grad != NONE)


def test_numpy_gives_only_the_gradients_that_are_asked_for() -> None:
    found = make(TEACHING).run(batch(4, 3), training=True, grad=Grad(gamma=True)).backward(batch(4, 3))
    assert (found.x, found.beta) == (None, None)
    assert found.gamma is not None


def test_recording_can_be_off_altogether() -> None:
    layer = make(sample("spying_layers.py:Records"))
    assert not layer.run(batch(4, 3), training=True, grad=OFF).describe().holds_graph
    assert SEEN["enabled"] is False
    layer.run(batch(4, 3), training=True, grad=NONE)
    assert SEEN["enabled"] is True


def test_a_write_to_the_parameters_of_the_forward_is_noticed() -> None:
    layer = make(REFERENCE)
    layer.load(some_state())
    passed = layer.run(batch(4, 3), training=True, grad=ALL)
    layer.load(replace(some_state(), gamma=np.full(3, 9.0)))
    with pytest.raises(SubjectError, match="modified by an inplace operation"):
        passed.backward(batch(4, 3, seed=1))


def test_buffers_that_hold_a_graph_are_described_so() -> None:
    for subject, held in ((SEED, True), (nn.BatchNorm1d, False)):
        layer = make(subject)
        layer.run(batch(4, 3), training=True, grad=ALL)
        description = layer.describe("running_var")
        assert description is not None
        assert (description.holds_graph, description.dtype, description.device) == (held, "float64", "cpu")
        assert description.shape == ((1, 3) if held else (3,))


@pytest.mark.parametrize("subject", [nn.BatchNorm1d, F.batch_norm, REFERENCE, TEACHING])
def test_an_input_goes_with_its_pass(subject: Any) -> None:
    layer = make(subject)
    passed = layer.run(batch(4, 3), training=True, grad=ALL)
    watched = passed.watch()
    assert watched() is not None
    if subject is REFERENCE:
        del layer._holder.out  # type: ignore[attr-defined]  # documented to keep its latest pass
    del passed
    assert watched() is None


def test_numpy_passes_go_backward_in_order() -> None:
    layer = make(TEACHING)
    first, second = (layer.run(batch(4, 3), training=True, grad=ALL) for _ in range(2))
    with pytest.raises(ValueError, match="another forward came in between"):
        first.backward(batch(4, 3))
    assert second.backward(batch(4, 3)).x is not None


# ---- state
@pytest.mark.parametrize("subject", [nn.BatchNorm1d, PlainTorch, REFERENCE, F.batch_norm, TEACHING])
def test_what_is_loaded_is_what_is_read_and_neither_is_shared(subject: Any) -> None:
    layer = make(subject)
    counts = resolve(subject).promises.abilities >= {"initial_state"}
    assert layer.state().batches == (0 if counts else None)
    start = replace(some_state(), batches=41)
    layer.load(start)
    read = layer.state()
    assert read.batches == (41 if counts else None)
    for name in ("gamma", "beta", "running_mean", "running_var"):
        np.testing.assert_array_equal(getattr(read, name), getattr(start, name))
        getattr(read, name)[:] = 7
        getattr(start, name)[:] = 8
    assert not np.isin(layer.state().gamma, [7, 8]).any()  # type: ignore[arg-type]  # an array
    layer.load(State(beta=np.full(3, 5.0)))
    assert [layer.state().gamma.tolist(), layer.state().beta.tolist()] == [[2, -3, 0.5], [5, 5, 5]]  # type: ignore[union-attr]
    layer.run(batch(4, 3), training=True)
    assert layer.state().batches == (42 if counts else None)


def hand_out(layer: object, _: int) -> object:
    return layer


def test_layers_are_written_in_place() -> None:
    module, plain = nn.BatchNorm1d(3), PlainTorch(3)
    for subject in (module, plain):
        layer = resolve(functools.partial(hand_out, subject)).make(OPEN)
        before = subject.weight
        layer.load(some_state())
        assert subject.weight is before
        assert subject.weight.is_leaf
    assert isinstance(module.weight, nn.Parameter)


def test_what_a_layer_lacks_is_none() -> None:
    implementation = resolve(nn.BatchNorm1d, {"affine": False, "track_running_stats": False})
    layer = implementation.make(OPEN)
    assert layer.state() == State()
    layer.load(some_state())
    assert layer.describe("running_mean") is None
    lives = {"reentrance", "recomputation", "saves", "copies", "converts", "resets", "memory_formats", "retunes"}
    assert implementation.promises.abilities == {"gradients", "gradient_subsets"} | lives
    found = layer.run(batch(4, 3), training=True, grad=ALL).backward(batch(4, 3))
    assert (found.gamma, found.beta) == (None, None)


def test_copies_of_an_instance_leave_it_and_each_other_alone() -> None:
    instance = nn.BatchNorm1d(3)
    implementation = resolve(instance)
    assert "initial_state" not in implementation.promises.abilities, "the instance may have trained already"
    one, other = (implementation.make(OPEN) for _ in range(2))
    one.run(batch(4, 3), training=True)
    for mean in (other.state().running_mean, instance.running_mean):
        assert mean is not None
        assert not np.asarray(mean).any()


# ---- what a subject does wrong is a SubjectError
def broken(subject: type = PlainTorch, **changes: Any) -> Implementation:
    """An implementation of a class that was right when it was resolved."""
    changed = type("Broken", (subject,), {})
    implementation = resolve(changed)
    for name, value in changes.items():
        setattr(changed, name, value)
    return implementation


def raise_it(*_: Any, **__: Any) -> NoReturn:
    raise ArithmeticError("first line\nsecond line")


def find_error(call: Callable[[], object], stage: str) -> str:
    with pytest.raises(SubjectError) as raised:
        call()
    assert raised.value.stage == stage
    return raised.value.reason


@pytest.mark.parametrize("subject", [PlainTorch, NumpySpy])
def test_what_a_subject_raises_is_a_finding_of_its_stage(subject: type) -> None:
    reason = "raised ArithmeticError: first line"
    assert find_error(lambda: broken(subject, __init__=raise_it).make(OPEN), "construction") == reason
    layer = broken(subject, __call__=raise_it).make(OPEN)
    assert find_error(lambda: layer.run(batch(4, 3), training=True), "forward") == reason
    changed: Any = type("Changed", (subject,), {})
    layer = make(changed)
    changed.running_var = property(raise_it)
    assert find_error(layer.state, "state") == reason
    assert find_error(lambda: layer.describe("running_var"), "state") == reason


@pytest.mark.parametrize("returned", [None, (1, 2), [1.0], np.ones(3), 3.0])
def test_what_is_no_tensor_is_a_finding(returned: Any) -> None:
    layer = broken(__call__=lambda *_: returned).make(OPEN)
    wanted = f"returned a {type(returned).__name__}, wanted a torch.Tensor"
    assert find_error(lambda: layer.run(batch(4, 3), training=True), "forward") == wanted


@pytest.mark.parametrize("returned", [None, (1, 2), [1.0], torch.ones(3), np.float64(3)])
def test_what_is_no_array_is_a_finding(returned: Any) -> None:
    layer = broken(NumpySpy, __call__=lambda *_: returned).make(OPEN)
    wanted = f"returned a {type(returned).__name__}, wanted a numpy.ndarray"
    assert find_error(lambda: layer.run(batch(4, 3), training=True), "forward") == wanted


@pytest.mark.parametrize(
    ("returned", "reason"),
    [
        (None, "returned as dx a NoneType, wanted a numpy.ndarray"),
        ((np.ones(3), np.ones(3)), "returned 2 values, wanted dx or (dx, dgamma, dbeta)"),
        ((np.ones(3), 3.0, np.ones(3)), "left as dgamma a float, wanted a numpy.ndarray"),
    ],
)
def test_a_numpy_backward_that_returns_something_else_is_a_finding(returned: Any, reason: str) -> None:
    passed = broken(NumpySpy, backward=lambda *_: returned).make(OPEN).run(batch(4, 3), training=True, grad=ALL)
    assert find_error(lambda: passed.backward(batch(4, 3)), "backward") == reason


def test_a_graph_that_is_missing_is_a_finding_of_the_backward() -> None:
    passed = broken(__call__=lambda _, x: x.detach()).make(OPEN).run(batch(4, 3), training=True, grad=ALL)
    assert "does not require grad" in find_error(lambda: passed.backward(batch(4, 3)), "backward")


def test_a_gradient_that_never_came_is_none() -> None:
    found = (
        broken(__call__=lambda _, x: x * 1).make(OPEN).run(batch(4, 3), training=True, grad=ALL).backward(batch(4, 3))
    )
    assert found.x is not None
    assert (found.gamma, found.beta) == (None, None)


def test_a_buffer_that_is_no_tensor_is_a_finding() -> None:
    layer = broken(running_mean=property(lambda _: 0.5, lambda *_: None)).make(OPEN)
    assert find_error(layer.state, "state") == "has as running_mean a float, wanted a torch.Tensor"


def test_a_state_that_does_not_fit_is_a_finding() -> None:
    class Reshaped(nn.BatchNorm1d):
        def forward(self, x: Tensor) -> Tensor:
            self.running_mean = torch.zeros(2, 3, dtype=x.dtype)
            return x * 1

    layer = make(Reshaped)
    layer.run(batch(4, 3), training=True)
    assert np.shape(layer.state().running_mean) == (2, 3)  # type: ignore[arg-type]  # an array
    assert "raised RuntimeError" in find_error(lambda: layer.load(State(running_mean=np.ones(4))), "state")
