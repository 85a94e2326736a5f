"""What a layer does wrong is a SubjectError, of the stage in which it happened."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bnspec.layers.implementation import Implementation, resolve
from bnspec.layers.protocol import ALL, State, SubjectError
from tests.layer_samples import OPEN, NumpySpy, PlainTorch, batch, make


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
