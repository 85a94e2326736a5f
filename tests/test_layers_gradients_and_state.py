"""Gradients, graphs and state through an adapter: what is asked for comes, what is loaded is read, none is shared."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch.nn.functional as F  # noqa: N812  (the name that torch's own documentation gives it)
from torch import nn

from bnspec.layers.implementation import resolve
from bnspec.layers.protocol import ALL, NONE, OFF, Grad, State, SubjectError
from tests.layer_samples import OPEN, REFERENCE, SEED, SEEN, TEACHING, PlainTorch, batch, make, sample, some_state


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
    assert [layer.state().gamma.tolist(), layer.state().beta.tolist()] == [[2, -3, 0.5], [5, 5, 5]]  # type: ignore[union-attr]  # it has both
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
    lives = {"untracked", "untracked_evaluation"}  # it evaluates by the batch
    lives |= {"reentrance", "recomputation", "saves", "copies", "converts", "resets", "memory_formats", "retunes"}
    assert (
        implementation.promises.abilities == {"gradients", "gradient_subsets", "second_order", "forward_mode"} | lives
    )
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
