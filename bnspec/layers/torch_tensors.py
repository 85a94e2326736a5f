"""Arrays to tensors and back, and what torch has on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bnspec.layers.adapter import Names, owns, put
from bnspec.layers.protocol import Array, Description, as_dtype
from bnspec.layers.strides import copy_layout, lies_plainly
from bnspec.spec.formats import PRECISIONS


def to_tensor(values: Array, device: str = "cpu") -> Tensor:
    """A fresh tensor with the values, the strides and the offset of an array, sharing no memory with it."""
    if lies_plainly(values):
        return _adopt(values.copy()).to(device)
    laid = copy_layout(values)
    return _adopt(laid.buffer).to(device).as_strided(values.shape, laid.strides, laid.offset)


def to_array(tensor: Tensor) -> Array:
    """A row-major copy of a tensor's values. bfloat16, which NumPy lacks, is ml_dtypes' own."""
    if tensor.dtype is torch.bfloat16:
        return np.array(tensor.detach().view(torch.int16).numpy(force=True), order="C").view(as_dtype("bfloat16"))
    return np.array(tensor.numpy(force=True), order="C")


def describe_tensor(tensor: Tensor) -> Description:
    """`holds_graph` is true of a tensor that a backward would reach."""
    name = str(tensor.dtype).removeprefix("torch.")
    return Description(name, str(tensor.device), tuple(tensor.shape), tuple(tensor.stride()), tensor.requires_grad)


def _adopt(values: Array) -> Tensor:
    """A tensor on the memory of an array that nobody else holds."""
    if values.dtype == as_dtype("bfloat16"):
        return torch.from_numpy(values.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(values)


THREADS = "torch's number of threads"
GLOBALS: dict[str, tuple[Callable[[], Any], Callable[[Any], object]]] = {
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    THREADS: (torch.get_num_threads, torch.set_num_threads),
    "torch's gradient mode": (torch.is_grad_enabled, torch.set_grad_enabled),
    "torch's choice of algorithms": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "torch's random numbers": (
        lambda: torch.get_rng_state().numpy().tobytes(),
        lambda state: torch.set_rng_state(torch.frombuffer(bytearray(state), dtype=torch.uint8)),
    ),
}
"""What layers of a process share, and how it is read and written."""

PLAIN = {"torch's gradient mode": True}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "one_thread": {**PLAIN, THREADS: 1},
    "three_threads": {**PLAIN, THREADS: 3},
}
"""Settings of the process. A user may have turned gradients off; on three threads most numbers leave a remainder."""


class Torch:
    """torch, as adapters need it."""

    array = Tensor
    array_name = "torch.Tensor"

    def __init__(self) -> None:
        self._has_threads = True

    @property
    def settings(self) -> dict[str, dict[str, Any]]:
        """In a forked child without those of more threads, for whom it would wait in vain."""
        return {name: values for name, values in SETTINGS.items() if self._has_threads or THREADS not in values}

    def native_dtype(self, name: str) -> torch.dtype:
        native: torch.dtype = getattr(torch, name)
        return native

    def name_dtype(self, native: Any) -> str:
        return str(native).removeprefix("torch.")

    def convert(self, subject: Any, names: Names, dtype: str | None, device: str | None) -> Any:
        """Modules by their own `to`; what that does not reach as new leaves, or as new data where it is held inside."""
        native = None if dtype is None else self.native_dtype(dtype)
        if isinstance(subject, nn.Module):
            subject = subject.to(device=device, dtype=native)
        for name in names.arrays:
            tensor = getattr(subject, name, None)
            if not isinstance(tensor, Tensor):
                continue
            converted = tensor.detach().to(device=device, dtype=native)
            if converted.data_ptr() == tensor.data_ptr():
                continue  # by the layer's own `to`, or it is so already
            asked = converted.requires_grad_(tensor.requires_grad)
            if not (owns(subject, name) and put(subject, name, asked)):
                tensor.data = converted
        return subject

    def devices(self) -> list[str]:
        cuda = range(torch.cuda.device_count()) if torch.cuda.is_available() else ()
        return ["cpu", *(f"cuda:{index}" for index in cuda)]

    def environment(self) -> dict[str, str]:
        threads = str(torch.get_num_threads())
        found = {"numpy": np.__version__, "torch": str(torch.__version__), "torch threads": threads}
        for device in self.devices()[1:]:
            found |= {"cuda": str(torch.version.cuda), device: torch.cuda.get_device_name(device)}
        return found

    def read_globals(self) -> dict[str, Any]:
        return {name: read() for name, (read, _) in GLOBALS.items()}

    def write_globals(self, values: Mapping[str, Any]) -> None:
        for name, value in values.items():
            GLOBALS[name][1](value)

    def enter_child(self) -> None:
        torch.set_num_threads(1)
        self._has_threads = False


TORCH = Torch()
LOW = tuple(name for name, precision in PRECISIONS.items() if precision.is_low)
"""The low precisions, which no shape of a target promises: a probe finds out."""
