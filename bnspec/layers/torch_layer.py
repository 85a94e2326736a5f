"""A layer whose parameters and buffers are torch tensors, differentiated by autograd."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from bnspec.layers.adapter import Names, owns, put
from bnspec.layers.modes import Mode
from bnspec.layers.protocol import NONE, Array, By, Description, Grad, Gradients, State, calling
from bnspec.layers.torch_passes import Loss, TorchPass, check_tensor, differentiate, differentiate_twice
from bnspec.layers.torch_tensors import describe_tensor, to_array, to_tensor

Call = Callable[[Tensor, bool], Any]


class TorchLayer:
    """`holder` has the tensors, by the attributes that `names` gives; `call` takes x and the mode."""

    def __init__(self, holder: Any, names: Names, device: str, call: Call) -> None:
        self._holder, self._names, self._device, self._call = holder, names, device, call

    def run(self, x: Array, *, training: bool, grad: Grad = NONE) -> TorchPass:
        return self._pass(to_tensor(x, self._device), grad, lambda tensor: self._call(tensor, training))

    def accumulate(self, passed: TorchPass, dy: Array, there: Gradients) -> Gradients | None:
        pairs = zip(passed.wanted[1:], (there.gamma, there.beta), strict=True)
        parameters = [(tensor, gradient) for tensor, gradient in pairs if tensor is not None and gradient is not None]
        if not all(tensor.is_leaf for tensor, _ in parameters):
            return None  # backward() would go on into whatever made them
        y, upstream = passed.receive(dy)
        with calling("state"):
            for tensor, gradient in parameters:
                tensor.grad = to_tensor(gradient, self._device).reshape(tensor.shape)
            if passed.wanted[0] is not None:
                passed.wanted[0].retain_grad()
        with calling("backward"):
            Loss.apply(y, upstream).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            found = [None if each is None or each.grad is None else to_array(each.grad) for each in passed.wanted]
        for tensor, _ in parameters:
            tensor.grad = None
        return Gradients(*found)

    def run_again(self, passed: TorchPass, *, training: bool, grad: Grad = NONE, x: Array | None = None) -> TorchPass:
        if x is not None:
            with calling("state"), torch.no_grad():
                passed.x.detach().copy_(to_tensor(x, self._device))
        return self._pass(passed.x, grad, lambda tensor: self._call(tensor, training))

    def add_up(self, passes: Sequence[TorchPass], dys: Sequence[Array]) -> Sequence[Gradients]:
        return differentiate(passes, dys)

    def answer_twice(self, passed: TorchPass, dy: Array) -> tuple[Gradients, Callable[[], Gradients]]:
        first = differentiate([passed], [dy], keep=True)[0]
        return first, lambda: passed.backward(dy)

    def differentiate_twice(
        self, passed: TorchPass, dy: Array, along: Gradients, *, curved: bool = False
    ) -> Callable[[By, bool], Array | None]:
        return differentiate_twice(passed, dy, along, curved=curved)

    def push_forward(self, x: Array, along: Gradients, *, training: bool) -> tuple[Array, Array | None]:
        with forward_ad.dual_level():
            with calling("state"), torch.no_grad():
                tensor = self._carry(to_tensor(x, self._device), along.x)
                for name, tangent in ((self._names.gamma, along.gamma), (self._names.beta, along.beta)):
                    self._ask(name, False)
                    parameter = self._read(name)
                    if parameter is not None and tangent is not None:
                        parameter.copy_(self._carry(parameter.detach().clone(), tangent))  # it stays the layer's own
            with calling("forward"):
                y = check_tensor("forward", "returned", self._call(tensor, training))
                value, moved = forward_ad.unpack_dual(y)  # type: ignore[no-untyped-call]  # torch leaves it untyped
                return to_array(value), None if moved is None else to_array(moved)

    def _carry(self, tensor: Tensor, tangent: Array | None) -> Tensor:
        if tangent is None:
            return tensor
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch warns of its own formulas, which it loads here
            laid = to_tensor(tangent, self._device).reshape(tensor.shape)
            dual: Tensor = forward_ad.make_dual(tensor, laid)  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return dual

    def _pass(self, tensor: Tensor, grad: Grad, call: Callable[[Tensor], Any]) -> TorchPass:
        held = weakref.ref(tensor)
        with calling("state"):
            if grad.x and tensor.is_leaf:  # none, as inside a network: autograd guards leaves against writes
                tensor = torch.ops.aten.alias(tensor.requires_grad_())
            wanted = (
                tensor if grad.x else None,
                self._ask(self._names.gamma, grad.gamma),
                self._ask(self._names.beta, grad.beta),
            )
        with calling("forward"), torch.set_grad_enabled(grad.recording):
            y = call(tensor)
        return TorchPass(tensor, check_tensor("forward", "returned", y), wanted, self._device, held)

    def state(self) -> State:
        names = self._names
        with calling("state"):
            gamma, beta, mean, var = (None if (t := self._read(name)) is None else to_array(t) for name in names.arrays)
            batches = getattr(self._holder, names.batches, None)
            return State(gamma, beta, mean, var, None if batches is None else int(batches))

    def load(self, state: State) -> None:
        """Write into a module's tensors in place, give other objects new leaves; what is None there stays None."""
        with calling("state"), torch.no_grad():
            values = (state.gamma, state.beta, state.running_mean, state.running_var)
            for name, value in zip(self._names.arrays, values, strict=True):
                if value is not None:
                    self._write(name, to_tensor(value, self._device))
            if state.batches is not None:
                self._write_batches(state.batches)

    def rebind(self, state: State) -> None:
        """Give the tensors new memory; what is None there stays None."""
        with calling("state"), torch.no_grad():
            values = (state.gamma, state.beta, state.running_mean, state.running_var)
            for name, value in zip(self._names.arrays, values, strict=True):
                current = getattr(self._holder, name, None)
                if value is not None and isinstance(current, Tensor):
                    self._replace(current, name, _shape_like(to_tensor(value, self._device), current))
            if state.batches is not None:
                self._write_batches(state.batches)

    def _replace(self, current: Tensor, name: str, tensor: Tensor) -> None:
        """Give an attribute other memory; a view that is made on demand has none of its own, and is written to."""
        if getattr(self._holder, name) is not current:
            current.copy_(tensor)
            return
        other = not isinstance(self._holder, nn.Module) and current.dtype != tensor.dtype and owns(self._holder, name)
        if not (other and put(self._holder, name, tensor)):
            current.data = tensor

    def describe(self, what: Literal["running_mean", "running_var"]) -> Description | None:
        with calling("state"):
            tensor = self._read(getattr(self._names, what))
            return None if tensor is None else describe_tensor(tensor)

    def _ask(self, name: str, wanted: bool) -> Tensor | None:
        """Set whether a parameter needs a gradient; the parameter where it does."""
        parameter = self._read(name)
        if parameter is not None and parameter.requires_grad != wanted:
            parameter.requires_grad_(wanted)
        return parameter if wanted else None

    def _read(self, name: str) -> Tensor | None:
        value = getattr(self._holder, name, None)
        return None if value is None else check_tensor("state", f"has as {name}", value)

    def _write(self, name: str, value: Tensor) -> None:
        """In the shape that the holder has, (1, C) or (1, C, 1, 1) say.

        In place, because others may hold the tensor too, a list of parameters say; what has another size is replaced.
        """
        current = getattr(self._holder, name, None)
        if not isinstance(current, Tensor):
            return
        in_place = isinstance(self._holder, nn.Module) or not owns(self._holder, name)
        if current.numel() == value.numel():
            value = value.reshape(current.shape)
            in_place |= current.dtype == value.dtype and name in getattr(self._holder, "__dict__", ())
        if in_place or not put(self._holder, name, value):
            current.copy_(value)

    def _write_batches(self, batches: int) -> None:
        current = getattr(self._holder, self._names.batches, None)
        if isinstance(current, Tensor):
            current.fill_(batches)
        elif current is not None:
            setattr(self._holder, self._names.batches, batches)


class ObjectCall:
    """Calls of a layer; a mode that is a state of its own is told of changes alone, as users do."""

    def __init__(self, subject: Any, mode: Mode) -> None:
        self._subject, self.mode = subject, mode
        self.told: bool | None = None

    def switch(self, training: bool, *, within: bool = False) -> None:
        """Tell the layer its mode, whatever it was told before; `within` a model, where it can be part of one."""
        if within and isinstance(self._subject, nn.Module):
            nn.Sequential(self._subject).train(training)
        else:
            self.mode.set(self._subject, training)
        self.told = training

    def __call__(self, x: Tensor, training: bool) -> Any:
        if self.told != training:
            self.switch(training)
        return self.mode.run(self._subject, x, training)


def _shape_like(tensor: Tensor, current: Tensor) -> Tensor:
    """(C,) as (1, C, 1, 1), say, with the strides it has; what has another size stays as it is."""
    if tensor.numel() != current.numel():
        return tensor
    places = [axis for axis, n in enumerate(current.shape) if n != 1] or [0]
    axes = tuple(slice(None) if axis == places[0] else None for axis in range(current.dim()))
    return tensor[axes] if current.dim() > 1 and len(places) == 1 else tensor
