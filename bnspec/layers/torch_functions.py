"""Functions with the signature of torch.nn.functional.batch_norm: parameters and buffers are the caller's."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from bnspec.layers.implementation import Adapted
from bnspec.layers.promises import Promises
from bnspec.layers.protocol import NONE, Array, Description, Grad, Layer, State, Structure
from bnspec.layers.target import TargetError
from bnspec.layers.torch_pass import TorchPass, run_torch
from bnspec.layers.torch_tensors import TORCH_DTYPES, describe_tensor, to_array, to_tensor, torch_devices, torch_environment

ALIASES: dict[str, tuple[str, ...]] = {
    "gamma": ("weight", "gamma", "scale"),
    "beta": ("bias", "beta", "offset", "shift"),
    "training": ("training", "train", "is_training"),
    "momentum": ("momentum",),
    "eps": ("eps", "epsilon"),
}
HELD = ("gamma", "beta", "running_mean", "running_var")


@dataclass
class FunctionLayer:
    """A function beside the tensors that it is called with; `keywords` are its own names for them."""

    function: Callable[..., Any]
    keywords: dict[str, str]
    arguments: dict[str, Any]
    tensors: dict[str, torch.Tensor]
    device: str

    def run(self, x: Array, *, training: bool, grad: Grad = NONE) -> TorchPass:
        def call(leaf: torch.Tensor) -> object:
            held = {self.keywords[name]: tensor for name, tensor in self.tensors.items()}
            return self.function(leaf, **held, **self.arguments, **{self.keywords["training"]: training})

        return run_torch(call, x, self.device, grad, self.tensors["gamma"], self.tensors["beta"])

    def state(self) -> State:
        return State(**{name: to_array(tensor) for name, tensor in self.tensors.items()})

    def load(self, state: State) -> None:
        for name in HELD:
            value = getattr(state, name)
            if value is not None:
                self.tensors[name] = to_tensor(value, self.device)

    def describe(self, what: Literal["running_mean", "running_var"]) -> Description | None:
        return describe_tensor(self.tensors[what])


def adapt_function(function: Callable[..., Any], arguments: dict[str, Any]) -> Adapted:
    """The implementation of a function. Raises TargetError where a parameter has no name that is known."""
    parameters = inspect.signature(function).parameters
    keywords = {"running_mean": "running_mean", "running_var": "running_var"}
    for what, names in ALIASES.items():
        found = next((name for name in names if name in parameters), None)
        if found is None:
            raise TargetError(
                f"the function has no parameter for {what}: one of {', '.join(names)} is needed, as in"
                " f(x, running_mean, running_var, weight, bias, training, momentum, eps)"
            )
        keywords[what] = found
    unknown = [key for key in arguments if key not in parameters]
    if unknown:
        raise TargetError(f"the function takes no argument {unknown[0]!r}: it takes {', '.join(parameters)}")

    def make(structure: Structure) -> Layer:
        dtype, device = TORCH_DTYPES[structure.dtype], structure.device
        fills = {"gamma": 1.0, "beta": 0.0, "running_mean": 0.0, "running_var": 1.0}
        tensors = {name: torch.full((structure.channels,), v, dtype=dtype, device=device) for name, v in fills.items()}
        given = {keywords["momentum"]: structure.momentum, keywords["eps"]: structure.eps, **arguments}
        return FunctionLayer(function, keywords, given, tensors, device)

    abilities = frozenset({"gradients", "running_statistics", "evaluation", "affine", "gradient_subsets"})
    fixed = [float(arguments[keywords[what]]) if keywords[what] in arguments else None for what in ("eps", "momentum")]
    promises = Promises((), ("float32", "float64"), ("cpu", "cuda"), abilities, fixed[0], fixed[1])
    return Adapted(promises, make, lambda: list(torch_devices()), torch_environment)
