"""Functions of torch tensors, with the signature of torch.nn.functional.batch_norm or a like one."""

from __future__ import annotations

import functools
from dataclasses import dataclass, replace
from itertools import product
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor

from bnspec.layers.adapter import Names
from bnspec.layers.declarations import check_abilities, fix_eps, fix_momentum, read_declarations
from bnspec.layers.implementation import Implementation, Unproven, complete, leave_out
from bnspec.layers.modes import to_last
from bnspec.layers.probing import plain_batch
from bnspec.layers.promises import Promises, pick_momentum
from bnspec.layers.protocol import Layer, Structure, SubjectError
from bnspec.layers.returned import BUFFERS, OVERWROTE, Trial, Update, find_arrays
from bnspec.layers.signatures import CHANNELS, RANKS, Signature, fit_shape, try_out, understand
from bnspec.layers.target import TargetError
from bnspec.layers.torch_layer import TorchLayer
from bnspec.layers.torch_tensors import LOW, TORCH, to_array, to_tensor

NAMES = Names("gamma", "beta", "running_mean", "running_var", "batches")


def find_torch_update(signature: Signature, *, grad: bool) -> tuple[Signature, Update]:
    """In which shape it takes its statistics, and how it hands back what it updates.

    `grad` asks for a gradient by x, which a function of NumPy, that takes other tensors by accident, cannot bear.
    Raises Refusal where no training call with tensors returns, TargetError.
    """

    def call_one(signature: Signature, structure: Structure, mean: float = 0.0, var: float = 1.0) -> Trial:
        holder = hold(signature, structure)
        holder.running_mean.fill_(mean)
        holder.running_var.fill_(var)
        left = holder.running_mean, holder.running_var
        given, x = tuple(to_array(tensor).ravel() for tensor in left), plain_batch(structure)
        tensor = to_tensor(x, structure.device).requires_grad_(grad)
        returned = call_once(signature, holder, structure, tensor, training=True)
        arrays = {path: to_array(each) for path, each in find_arrays(returned, count).items()}
        return Trial(
            to_last(x) if signature.last else x,
            given,
            tuple(to_array(tensor).ravel() for tensor in left),
            arrays,
            type(returned).__name__,
        )

    places = product(("float32", "float64"), TORCH.devices()[:2], RANKS)
    structures = [Structure(CHANNELS, rank, dtype, device, 1e-5, 0.1) for dtype, device, rank in places]
    fitting = fit_shape(signature, call_one, structures[0])
    return fitting, understand(fitting, try_out(functools.partial(call_one, fitting), structures))


def count(value: Any) -> int | None:
    """How many numbers a tensor holds, None of anything else."""
    return value.numel() if isinstance(value, Tensor) else None


def resolve_torch_function(signature: Signature, without: frozenset[str], *, grad: bool) -> Implementation:
    """An implementation from a function; its layers hold parameters and buffers for it.

    Raises Refusal where no training call returns (`find_torch_update`), TargetError.
    """
    name, function, given = signature.name, signature.function, signature.fixed
    declared = read_declarations(function, getattr(function, "func", None))
    without = check_abilities(without, "--without") | set(declared.without) | signature.without
    eps = fix_eps(name, given, declared, signature.is_open("eps"))
    momentum = fix_momentum(given, declared, signature.is_open("momentum"))
    if momentum == "average":
        raise TargetError(
            f"the momentum of {name} is fixed at None, the plain average, and a function has no count of batches to"
            " average by: leave momentum open, or name a class"
        )
    signature, update = find_torch_update(signature, grad=grad)
    affine = {role for role in ("gamma", "beta") if signature.is_open(role)}
    affine |= {"affine", *signature.may_lack} if len(affine) == 2 else set()
    promises = Promises(
        ranks=declared.ranks or (),
        dtypes=declared.dtypes or ("float32", "float64"),
        devices=declared.devices or ("cpu", "cuda"),
        abilities=frozenset(
            {"gradients", "gradient_subsets", "memory_formats", "reentrance", "second_order", "forward_mode"}
            | {"running_statistics", "evaluation", *({"kept_statistics"} if update.places is None else set())}
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
        -1 if declared.channels_last else declared.channel_axis,
        signature.defaults,
        signature.tell("torch tensors", update.words),
    )
    untracked = signature.may_lack_statistics and "untracked" not in without
    moved = None if signature.last else Maker(replace(signature, last=True), replace(update, last=True))
    unproven = Unproven(() if declared.dtypes else LOW, untracked=untracked, moved=moved)
    base = Structure(CHANNELS, 2, "float32", "cpu", 1e-5 if eps is None else eps, pick_momentum(promises, 0.1))
    return complete(draft, base, unproven, lambda _: name)


def hold(signature: Signature, structure: Structure) -> SimpleNamespace:
    """New tensors for one layer."""
    shape = signature.shape(structure.channels, structure.rank)
    native = {"dtype": TORCH.native_dtype(structure.parameters), "device": structure.device}
    ones, zeros = (functools.partial(make, shape, **native) for make in (torch.ones, torch.zeros))
    gamma = ones() if structure.affine and structure.scaled else None
    beta = zeros() if structure.affine and structure.shifted else None
    mean, var = (zeros(), ones()) if structure.tracked else (None, None)
    return SimpleNamespace(gamma=gamma, beta=beta, running_mean=mean, running_var=var)


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
        holder = hold(self.signature, structure)

        def call(x: Tensor, training: bool) -> Any:
            update, given = self.update, [getattr(holder, name) for name in BUFFERS]
            places = update.places if structure.tracked else None
            before = [tensor.detach().clone() for tensor in given] if places else given
            returned = call_once(self.signature, holder, structure, x, training=training)
            for name, tensor, kept in zip(BUFFERS, given, before, strict=True):
                if tensor is not kept and not torch.equal(tensor.nan_to_num(), kept.nan_to_num()):
                    raise SubjectError("forward", OVERWROTE.format(name))
            new = update.take_statistics(returned, count, None if training else structure.channels) if places else None
            for name, tensor in zip(BUFFERS, new or (), strict=False):
                setattr(holder, name, tensor.detach())  # as whoever keeps them has to
            return update.take_y(returned, count)

        return TorchLayer(holder, NAMES, structure.device, call)
