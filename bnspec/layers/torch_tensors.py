"""Arrays to tensors and back: values are copied, strides are kept, and memory is never shared with a case."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import torch

from bnspec.layers.protocol import Array, Description, SubjectError

TORCH_DTYPES: dict[str, torch.dtype] = {
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float32": torch.float32,
    "float64": torch.float64,
}


def to_tensor(a: Array, device: str) -> torch.Tensor:
    """A fresh tensor with the values and the strides of `a`; axes of stride 0 stay expanded."""
    steps = tuple(stride // a.itemsize for stride in a.strides)
    if a.size and any(step == 0 and n > 1 for step, n in zip(steps, a.shape, strict=True)):
        held = a[tuple(slice(0, 1) if step == 0 else slice(None) for step in steps)]
        return _from_numpy(np.ascontiguousarray(held)).to(device).expand(a.shape)
    values = _from_numpy(np.array(a, order="C"))
    if a.flags.c_contiguous:
        return values.to(device)
    extent = 1 + sum((n - 1) * step for n, step in zip(a.shape, steps, strict=True))
    buffer = torch.zeros(extent, dtype=values.dtype, device=device).as_strided(a.shape, steps)
    return buffer.copy_(values)


def _from_numpy(a: Array) -> torch.Tensor:
    if a.dtype.name == "bfloat16":
        return torch.from_numpy(a.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(a)


def to_array(tensor: torch.Tensor) -> Array:
    """A copy of a tensor's values as they are now."""
    held = tensor.detach().cpu()
    if held.dtype is torch.bfloat16:
        import ml_dtypes

        return held.contiguous().view(torch.int16).numpy().copy().view(ml_dtypes.bfloat16)
    return np.array(held.numpy(), order="C")


def describe_tensor(tensor: torch.Tensor) -> Description:
    return Description(
        str(tensor.dtype).removeprefix("torch."),
        str(tensor.device),
        tuple(tensor.shape),
        tuple(tensor.stride()),
        bool(tensor.requires_grad),
    )


def require_tensor(value: Any, stage: Any, what: str) -> torch.Tensor:
    """`value` if it is a tensor; else SubjectError, which says what came instead."""
    if not isinstance(value, torch.Tensor):
        raise SubjectError(stage, f"{what} is a {type(value).__name__}, wanted a torch.Tensor")
    return value


@cache
def torch_devices() -> tuple[str, ...]:
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    return ("cpu", *(f"cuda:{i}" for i in range(count)))


def torch_environment() -> dict[str, str]:
    found = {"torch": torch.__version__, "numpy": np.__version__, "torch threads": str(torch.get_num_threads())}
    for device in torch_devices()[1:]:
        found[device] = torch.cuda.get_device_name(device)
    return found
