"""Objects that hold torch tensors: torch.nn.BatchNorm's attributes, or the seed's, whatever they subclass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch

from bnspec.layers.constructor import Constructor, read_fixed
from bnspec.layers.implementation import Adapted
from bnspec.layers.promises import Promises
from bnspec.layers.protocol import NONE, Array, Description, Grad, Layer, State, Structure, SubjectError, calling
from bnspec.layers.torch_pass import TorchPass, run_torch
from bnspec.layers.torch_tensors import (
    TORCH_DTYPES,
    describe_tensor,
    require_tensor,
    to_array,
    to_tensor,
    torch_devices,
    torch_environment,
)

NAMES: tuple[Mapping[str, str], ...] = (
    {"gamma": "weight", "beta": "bias"},
    {"gamma": "gamma", "beta": "beta"},
)
"""What the parameters are called: in torch.nn, and in the seed."""
COUNTERS = ("num_batches_tracked", "batches")
RANKS_BY_BASE = {
    torch.nn.BatchNorm1d: (2, 3),
    torch.nn.BatchNorm2d: (4,),
    torch.nn.BatchNorm3d: (5,),
    torch.nn.SyncBatchNorm: (2, 3, 4, 5),
}
BUFFERS = ("running_mean", "running_var")


def holds_tensors(example: Any) -> bool:
    """Whether an object is a batch norm of this adapter's shape."""
    if not callable(example) or not any(hasattr(example, names["gamma"]) for names in NAMES):
        return False
    attributes = ("running_mean", "weight", "gamma")
    return isinstance(example, torch.nn.Module) or any(
        isinstance(getattr(example, name, None), torch.Tensor) for name in attributes
    )


@dataclass
class TorchLayer:
    """One object under test. `names` maps gamma and beta to its attributes."""

    obj: Any
    names: Mapping[str, str]
    device: str

    def run(self, x: Array, *, training: bool, grad: Grad = NONE) -> TorchPass:
        self._set_mode(training)
        return run_torch(self.obj, x, self.device, grad, self._tensor("gamma"), self._tensor("beta"))

    def _set_mode(self, training: bool) -> None:
        with calling("state"):
            switch = getattr(self.obj, "train" if training else "eval", None)
            if callable(switch):
                switch()
            else:
                self.obj.training = training

    def _tensor(self, what: str) -> torch.Tensor | None:
        name = self.names.get(what, what)
        with calling("state"):
            value = getattr(self.obj, name, None)
        return None if value is None else require_tensor(value, "state", name)

    def state(self) -> State:
        held = {what: self._tensor(what) for what in ("gamma", "beta", *BUFFERS)}
        arrays = {what: None if tensor is None else to_array(tensor) for what, tensor in held.items()}
        return State(**arrays, batches=self._count())

    def _count(self) -> int | None:
        value = next((found for name in COUNTERS if (found := getattr(self.obj, name, None)) is not None), None)
        return None if value is None else int(value)

    def load(self, state: State) -> None:
        for what in ("gamma", "beta", *BUFFERS):
            wanted = getattr(state, what)
            if wanted is not None:
                self._put(what, to_tensor(wanted, self.device))
        if state.batches is not None:
            self._put_count(state.batches)

    def _put(self, what: str, value: torch.Tensor) -> None:
        name = self.names.get(what, what)
        old = self._tensor(what)
        if not isinstance(self.obj, torch.nn.Module):
            setattr(self.obj, name, value)
            return
        if old is None or old.numel() != value.numel():
            raise SubjectError("state", f"{name} is {None if old is None else tuple(old.shape)}, wanted {tuple(value.shape)}")
        with calling("state"), torch.no_grad():
            old.copy_(value.reshape(old.shape))

    def _put_count(self, count: int) -> None:
        for name in COUNTERS:
            held = getattr(self.obj, name, None)
            if isinstance(held, torch.Tensor):
                held.fill_(count)
            elif held is not None:
                setattr(self.obj, name, count)

    def describe(self, what: Literal["running_mean", "running_var"]) -> Description | None:
        tensor = self._tensor(what)
        return None if tensor is None else describe_tensor(tensor)


def adapt_torch(obj: Any, constructor: Constructor, example: Any) -> Adapted:
    """The implementation of a class, factory or instance whose objects hold tensors."""
    names = next(names for names in NAMES if hasattr(example, names["gamma"]))

    def make(structure: Structure) -> Layer:
        dtype = TORCH_DTYPES[structure.dtype]
        with calling("construction"):
            made = constructor(structure, dtype, structure.device)
            if isinstance(made, torch.nn.Module):
                if not (constructor.takes_dtype and constructor.takes_device):
                    made.to(device=structure.device, dtype=dtype)
            else:
                _convert(made, names, structure.device, dtype)
        return TorchLayer(made, names, structure.device)

    abilities = {"gradients", "evaluation", "initial_state", "gradient_subsets"}
    if getattr(example, "running_mean", None) is not None:
        abilities.add("running_statistics")
    if getattr(example, names["gamma"], None) is not None:
        abilities.add("affine")
    eps, momentum = (read_fixed(obj, example, constructor, what) for what in ("eps", "momentum"))
    if isinstance(example, torch.nn.modules.batchnorm._BatchNorm) and momentum is None:
        abilities.add("cumulative")
    ranks = next((ranks for base, ranks in RANKS_BY_BASE.items() if isinstance(example, base)), ())
    channels = None
    if not constructor.takes_channels:
        held = next(t for name in ("running_mean", *names.values()) if (t := getattr(example, name, None)) is not None)
        channels = int(held.numel())
    promises = Promises(
        ranks, ("float32", "float64"), ("cpu", "cuda"), frozenset(abilities), eps, momentum, channels
    )
    return Adapted(promises, make, lambda: list(torch_devices()), torch_environment)


def _convert(made: Any, names: Mapping[str, str], device: str, dtype: torch.dtype) -> None:
    """Bring the tensors of a plain object to a device and a dtype, each a leaf of its own."""
    for name in (*names.values(), *BUFFERS):
        held = getattr(made, name, None)
        if isinstance(held, torch.Tensor) and (held.dtype, str(held.device)) != (dtype, device):
            setattr(made, name, held.detach().to(device=device, dtype=dtype))
