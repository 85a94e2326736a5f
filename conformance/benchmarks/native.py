"""Calls of a layer on its own arrays, which are made once and not copied while the clock runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from bnspec.engine.subject import Subject
from bnspec.layers.modes import find_mode
from bnspec.layers.promises import pick_momentum
from bnspec.layers.protocol import ALL, Structure

Call = Callable[[], object]


def prepare_call(subject: Subject, name: str, shape: tuple[int, ...], device: str) -> Call:
    """A call to time, of a new float32 layer for a batch of `shape`; it returns when the device has finished.

    `name` is "training", "forward and backward" or "evaluation". Layers of torch tensors are called on tensors, others
    on NumPy arrays. The calls reach below the Layer protocol, which copies every array for the judges' sake.
    """
    random = np.random.default_rng(0)
    x, dy = (random.standard_normal(shape, dtype=np.float32) for _ in range(2))
    promises = subject.promises
    eps = 1e-5 if promises.eps is None else promises.eps
    momentum = pick_momentum(promises, 0.1)
    layer: Any = subject.implementation.make(Structure(shape[1], len(shape), "float32", device, eps, momentum))
    if subject.offers("gradients"):
        layer.run(x, training=True, grad=ALL)  # leaves the parameters asking for gradients
    calls = _torch_calls(layer, x, dy, device) if hasattr(layer, "_call") else _numpy_calls(layer, x, dy)
    return calls[name]


def _torch_calls(layer: Any, x: Any, dy: Any, device: str) -> dict[str, Call]:
    import torch

    batch, upstream = (torch.from_numpy(array).to(device) for array in (x, dy))
    leaf = batch.clone().requires_grad_()
    parameters = (layer._read(name) for name in layer._names.arrays[:2])
    inputs = [leaf, *(parameter for parameter in parameters if parameter is not None)]

    def wait() -> None:
        if device != "cpu":
            torch.cuda.synchronize(device)

    def train() -> None:
        layer._call(leaf, True)
        wait()

    def differentiate() -> None:
        torch.autograd.grad(layer._call(leaf, True), inputs, upstream, allow_unused=True)
        wait()

    def evaluate() -> None:
        with torch.no_grad():
            layer._call(batch, False)
        wait()

    return {"training": train, "forward and backward": differentiate, "evaluation": evaluate}


def _numpy_calls(layer: Any, x: Any, dy: Any) -> dict[str, Call]:
    subject = layer._subject
    mode = find_mode(subject)

    def train() -> None:
        mode.set(subject, True)
        mode.run(subject, x, True)

    def differentiate() -> None:
        train()
        subject.backward(dy)

    def evaluate() -> None:
        mode.set(subject, False)
        mode.run(subject, x, False)

    return {"training": train, "forward and backward": differentiate, "evaluation": evaluate}
