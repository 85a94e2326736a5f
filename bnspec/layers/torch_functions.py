"""Functions of torch tensors, with the signature of torch.nn.functional.batch_norm or a like one."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from bnspec.layers.adapter import Names
from bnspec.layers.declarations import check_abilities, fix_eps, fix_momentum, read_declarations
from bnspec.layers.implementation import Implementation, Unproven, complete, leave_out
from bnspec.layers.probing import plain_batch
from bnspec.layers.promises import Promises, pick_momentum
from bnspec.layers.protocol import Layer, Structure
from bnspec.layers.signatures import BUFFERS, CHANNELS, Signature, Update, call_twice, find_update, take_y
from bnspec.layers.target import TargetError
from bnspec.layers.torch_layer import TorchLayer
from bnspec.layers.torch_tensors import LOW, TORCH, to_tensor

NAMES = Names("gamma", "beta", "running_mean", "running_var", "batches")


def find_torch_update(signature: Signature, *, grad: bool) -> Update | None:
    """How it hands back what it updates; None where no call with tensors gives one.

    `grad` asks for a gradient by x, which a function of NumPy, that takes other tensors by accident, cannot bear.
    """

    def call(structure: Structure, mean: float, var: float) -> Any:
        holder = hold(structure)
        holder.running_mean.fill_(mean)
        holder.running_var.fill_(var)
        x = to_tensor(plain_batch(structure), "cpu").requires_grad_(grad)
        return call_once(signature, holder, structure, x, training=True)

    returned = call_twice(call, "float32")
    if returned is None or not isinstance(take_y(returned[0]), Tensor):
        return None
    return find_update(returned, _unlike)


def _unlike(one: Any, other: Any) -> bool:
    both = isinstance(one, Tensor) and isinstance(other, Tensor)
    return both and one.numel() == CHANNELS and not torch.equal(one, other)


def resolve_torch_function(signature: Signature, update: Update, without: frozenset[str]) -> Implementation:
    """An implementation from a function; its layers hold parameters and buffers for it. Raises TargetError."""
    name, function, given = signature.name, signature.function, signature.fixed
    declared = read_declarations(function, getattr(function, "func", None))
    without = check_abilities(without, "--without") | set(declared.without)
    eps = fix_eps(name, given, declared, signature.has("eps"))
    momentum = fix_momentum(given, declared, signature.has("momentum"))
    if momentum == "average":
        raise TargetError(
            f"the momentum of {name} is fixed at None, the plain average, and a function has no count of batches to"
            " average by: leave momentum open, or name a class"
        )
    affine = {role for role in ("gamma", "beta") if signature.has(role)}
    affine |= {"affine"} if len(affine) == 2 else set()
    if len(affine) == 3 and {"gamma", "beta"} <= signature.optional:
        affine |= {"unscaled", "unshifted"}
    promises = Promises(
        ranks=declared.ranks or (),
        dtypes=declared.dtypes or ("float32", "float64"),
        devices=declared.devices or ("cpu", "cuda"),
        abilities=frozenset(
            {"gradients", "gradient_subsets", "memory_formats", "reentrance", "second_order", "forward_mode"}
            | {"running_statistics", "evaluation"}
            | affine
        ),
        eps=eps,
        momentum=momentum,
        algorithm=declared.algorithm,
        reproducible=declared.reproducible,
    )
    draft = Implementation(
        name,
        declared.dialect or "torch",
        "the target" if declared.dialect else "the adapter",
        leave_out(promises, without),
        Maker(signature, update),
        TORCH,
        declared.versions,
        declared.forks,
        declared.compiles,
        declared.channel_axis,
        signature.defaults,
        signature.tell("torch tensors", update.words),
    )
    base = Structure(CHANNELS, 2, "float32", "cpu", 1e-5 if eps is None else eps, pick_momentum(promises, 0.1))
    return complete(draft, base, Unproven(() if declared.dtypes else LOW), lambda _: name)


def hold(structure: Structure) -> SimpleNamespace:
    """New tensors for one layer."""
    native = {"dtype": TORCH.native_dtype(structure.parameters), "device": structure.device}
    ones, zeros = (functools.partial(make, structure.channels, **native) for make in (torch.ones, torch.zeros))
    gamma = ones() if structure.affine else None
    beta = zeros() if structure.affine and structure.shifted else None
    return SimpleNamespace(gamma=gamma, beta=beta, running_mean=zeros(), running_var=ones())


def call_once(signature: Signature, holder: SimpleNamespace, structure: Structure, x: Tensor, *, training: bool) -> Any:
    """What the function returns."""
    settings = {"eps": structure.eps, "momentum": structure.momentum}
    return signature.call({**vars(holder), **settings, "x": x, "training": training})


@dataclass(frozen=True)
class Maker:
    """Makes layers for a function; `update` says where it leaves the new running statistics."""

    signature: Signature
    update: Update

    def __call__(self, structure: Structure) -> Layer:
        holder = hold(structure)

        def call(x: Tensor, training: bool) -> Any:
            returned = call_once(self.signature, holder, structure, x, training=training)
            if self.update.places is not None and training:
                for name, place in zip(BUFFERS, self.update.places, strict=True):
                    setattr(holder, name, returned[place].detach())
            return take_y(returned)

        return TorchLayer(holder, NAMES, structure.device, call)
