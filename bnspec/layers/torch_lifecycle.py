"""What layers of torch can do besides passes: modes, recomputation, saves, copies, conversions and resets."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint, set_checkpoint_early_stop

from bnspec.layers.adapter import Names, has_method, write_down
from bnspec.layers.modes import Mode
from bnspec.layers.protocol import Array, Grad, calling
from bnspec.layers.torch_layer import ObjectCall, TorchLayer
from bnspec.layers.torch_passes import TorchPass
from bnspec.layers.torch_tensors import to_tensor

OBJECT_ABILITIES = frozenset(
    {
        "gradients", "gradient_subsets", "memory_formats", "reentrance", "second_order", "forward_mode", "copies",
    }
)  # fmt: skip
"""What any object whose parameters are tensors offers by autograd and by Python's own copies."""


def find_lifecycle(subject: Any) -> frozenset[str]:
    """The abilities of a module's life cycle; what is no module has none of them.

    A module whose running statistics are plain attributes, as in d2l's book, does not say that they can be saved. That
    eps and momentum can be set is what torch documents of its own classes, and so of their subclasses.
    """
    if not isinstance(subject, nn.Module):
        return frozenset()
    resets = {"resets"} if has_method(subject, "reset_running_stats") else set()
    resets |= {"retunes"} if isinstance(subject, _BatchNorm) else set()
    plain = {"running_mean", "running_var"} <= vars(subject).keys()
    return frozenset({"recomputation"} | resets | (set() if plain else {"saves", "converts"}))


class ObjectLayer(TorchLayer):
    """A layer that is an object of the subject's own. Saves, conversions and resets are those of `torch.nn`."""

    def __init__(self, subject: Any, names: Names, device: str, mode: Mode) -> None:
        self._object = ObjectCall(subject, mode)
        super().__init__(subject, names, device, self._object)

    def switch(self, training: bool) -> None:
        """By a model that has the layer as a part, where it is a module: some listen to one way alone."""
        with calling("state"):
            self._object.switch(training, within=True)

    def recompute(self, x: Array, grad: Grad) -> TorchPass:
        """By activation checkpointing. An early stop would leave open whether an update is among what runs again."""

        def call(tensor: torch.Tensor) -> Any:
            with set_checkpoint_early_stop(False):
                return checkpoint(self._call, tensor, True, use_reentrant=False, preserve_rng_state=False)

        return self._pass(to_tensor(x, self._device), grad, call)

    def copy(self) -> ObjectLayer:
        with calling("state"):
            return self._wrap(copy.deepcopy(self._holder))

    def travel(self) -> ObjectLayer | None:
        with calling("state"):
            written = write_down(self._holder)
            return None if written is None else self._wrap(pickle.loads(written))

    def _wrap(self, holder: Any) -> ObjectLayer:
        """A layer that is told no mode, if this one was told one: copies keep it."""
        layer = ObjectLayer(holder, self._names, self._device, self._object.mode)
        layer._object.told = self._object.told
        return layer

    def save(self, *, within: bool = False) -> object:
        """torch's own dictionary. It shares memory with the module, and is restored before that changes."""
        with calling("state"):
            return (nn.Sequential(self._holder) if within else self._holder).state_dict()

    def restore(self, saved: Any, *, within: bool = False) -> None:
        with calling("state"):
            holder = nn.Sequential(self._holder) if within else self._holder
            holder.load_state_dict({} if saved is None else saved, strict=saved is not None)

    def restore_parameters(self, saved: Any) -> bool:
        names = (self._names.gamma, self._names.beta)
        if not saved.keys() >= set(names):
            return False
        with calling("state"):
            self._holder.load_state_dict(type(saved)((name, saved[name]) for name in names), strict=False)
        return True

    def restore_older(self, saved: Any) -> bool:
        """Before version 2 of its state a batch norm of torch had no counter."""
        counter = self._names.batches
        if not isinstance(self._holder, _BatchNorm) or counter not in saved:
            return False
        with calling("state"):
            self._holder.load_state_dict({name: value for name, value in saved.items() if name != counter})
        return True

    def convert(self, dtype: str) -> None:
        # Without recording, because a buffer that was asked for a gradient would come out with a graph.
        with calling("state"), torch.no_grad():
            self._holder.to(dtype=getattr(torch, dtype))

    def retune(self, *, eps: float, momentum: float | None) -> None:
        with calling("state"):
            self._holder.eps, self._holder.momentum = eps, momentum

    def reset(self) -> None:
        with calling("state"):
            self._holder.reset_running_stats()
