"""The stage on which the museum's layers are seen without the suite: tensors in, tensors out, whatever their form.

A scene is a generator of (name, what was seen); torch's own module plays the same scenes, and what differs is named.
The first word of a name says which clause or family it belongs to.
"""

from __future__ import annotations

import importlib
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import ml_dtypes
import numpy as np
import torch
from torch import Tensor
from torch.nn.modules.batchnorm import _BatchNorm

from bnspec.mutants.record import Mutant, RightLayer

Trace = dict[str, Any]
Scenes = Callable[[Callable[..., Any]], Iterator[tuple[str, Any]]]
NUMPY_DTYPES: dict[torch.dtype, Any] = {
    torch.float16: np.float16,
    torch.bfloat16: ml_dtypes.bfloat16,
    torch.float32: np.float32,
    torch.float64: np.float64,
    torch.int64: np.int64,
    torch.complex128: np.complex128,
}
TOLERANCE = {torch.float64: 1e-9, torch.float32: 2e-4, torch.float16: 1e-2, torch.bfloat16: 6e-2}


class Own(_BatchNorm):
    """torch's own module at every rank from 2 to 5."""

    def _check_input_dim(self, input: Tensor) -> None:  # noqa: A002  (torch's name)
        if input.ndim not in (2, 3, 4, 5):
            raise ValueError("rank")


class TorchModule:
    """A module with the constructor of torch.nn.BatchNorm*."""

    subsets: tuple[str, ...] = ("x", "gamma", "beta", "x gamma", "x beta", "gamma beta", "")
    momenta: tuple[float | None, ...] = (0.0, 0.999, 1.0, None)

    def __init__(
        self, target: Any, channels: int, eps: float, momentum: float | None, dtype: torch.dtype = torch.float64
    ) -> None:
        self.bn = target(channels, eps=eps, momentum=momentum, dtype=dtype)

    def load(self, **arrays: Any) -> None:
        with torch.no_grad():
            for name, array in zip(("weight", "bias", "running_mean", "running_var"), arrays.values(), strict=True):
                getattr(self.bn, name).copy_(torch.as_tensor(array))

    def stride(self) -> None:
        """Let parameters and buffers lie in every second place of their memory."""
        for tensor in (self.bn.weight, self.bn.bias, self.bn.running_mean, self.bn.running_var):
            tensor.data = torch.stack((tensor.data, torch.full_like(tensor.data, 7)), dim=1)[:, 0]

    def run(self, x: Tensor, training: bool, needs: str = "x gamma beta") -> Tensor:
        """y, detached; x may be laid out in any way."""
        self.x = x.detach().requires_grad_("x" in needs.split())
        self.bn.train(training)
        self.bn.weight.requires_grad_("gamma" in needs)
        self.bn.bias.requires_grad_("beta" in needs)
        self.y = self.bn(self.x)
        y: Tensor = self.y.detach().clone()
        return y

    def backward(self, dy: Tensor) -> tuple[Tensor | None, ...]:
        self.dy = dy
        inputs = [t for t in (self.x, self.bn.weight, self.bn.bias) if t.requires_grad]
        found = iter(torch.autograd.grad(self.y, inputs, self.dy, allow_unused=True) if inputs else ())
        return tuple(next(found) if t.requires_grad else None for t in (self.x, self.bn.weight, self.bn.bias))

    def state(self) -> Trace:
        return {name: buffer.detach().clone() for name, buffer in self.bn.named_buffers()}

    def gamma_dtype(self) -> torch.dtype:
        dtype: torch.dtype = self.bn.weight.dtype
        return dtype

    def lets_go(self) -> bool:
        """Whether what a pass was made of goes away with it."""
        seen = weakref.ref(self.x)
        self.x = self.y = self.dy = None  # type: ignore[assignment]  # dropped on purpose
        return seen() is None


class Functional(Own):
    """A module around a function with the signature of torch.nn.functional.batch_norm."""

    function: Callable[..., Tensor]

    def forward(self, x: Tensor) -> Tensor:
        buffers = self.running_mean, self.running_var
        return self.function(x, *buffers, self.weight, self.bias, self.training, self.momentum, self.eps)


class TorchFunction(TorchModule):
    momenta = (0.0, 0.999, 1.0)

    def __init__(
        self, target: Any, channels: int, eps: float, momentum: float | None, dtype: torch.dtype = torch.float64
    ) -> None:
        super().__init__(Functional, channels, eps, momentum, dtype)
        self.bn.function = target
        del self.bn.num_batches_tracked


class NumPy:
    """A class of the teaching shape: forward(x), backward(dy), and the rest as attributes."""

    subsets: tuple[str, ...] = ()
    momenta: tuple[float | None, ...] = (0.0, 0.999, 1.0)

    def __init__(
        self, target: Any, channels: int, eps: float, momentum: float | None, dtype: torch.dtype = torch.float64
    ) -> None:
        self.bn = target(channels, momentum=momentum, eps=eps, dtype=NUMPY_DTYPES[dtype])

    def load(self, **arrays: Any) -> None:
        for name, array in arrays.items():
            values = to_numpy(array) if isinstance(array, Tensor) else array
            setattr(self.bn, name, values.astype(self.bn.gamma.dtype))

    def stride(self) -> None:
        for name in ("gamma", "beta", "running_mean", "running_var"):
            values = getattr(self.bn, name)
            setattr(self.bn, name, np.stack((values, np.full_like(values, 7)), axis=1)[:, 0])

    def run(self, x: Tensor, training: bool, needs: str = "", writeable: bool = True) -> Tensor:
        self.x, self.bn.training = to_numpy(x), training
        if not writeable:
            self.x.flags.writeable = False
        return from_numpy(self.bn.forward(self.x).copy())

    def backward(self, dy: Tensor) -> tuple[Tensor | None, ...]:
        self.dy = to_numpy(dy)
        answer = self.bn.backward(self.dy)
        gradients = answer if isinstance(answer, tuple) else (answer, self.bn.dgamma, self.bn.dbeta)
        return tuple(from_numpy(gradient) for gradient in gradients)

    def state(self) -> Trace:
        return {name: from_numpy(getattr(self.bn, name).copy()) for name in ("running_mean", "running_var")}

    def gamma_dtype(self) -> torch.dtype:
        return from_numpy(self.bn.gamma).dtype

    def lets_go(self) -> bool:
        return True


FORMS: dict[str, Any] = {"torch module": TorchModule, "torch function": TorchFunction, "numpy": NumPy}


def to_numpy(values: Tensor) -> Any:
    """The same memory and strides; bfloat16 too."""
    if values.dtype is torch.bfloat16:
        return values.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return values.numpy()


def from_numpy(values: Any) -> Tensor:
    if values.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(np.ascontiguousarray(values).view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(np.ascontiguousarray(values))


def exactly(values: Any) -> bytes:
    """The bits of a tensor or an array, whatever its strides."""
    if isinstance(values, Tensor):
        return values.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()
    return np.ascontiguousarray(values).tobytes()


def attempt(act: Callable[[], Any]) -> Any:
    """What an act returns, or that it raised."""
    try:
        return act()
    except Exception:  # noqa: BLE001  (a refusal may be any exception)
        return "raised"


def differs(seen: Any, wanted: Any) -> bool:
    """A bool is a verdict of its own, True for right; anything else is compared."""
    if isinstance(seen, bool):
        return not seen
    if isinstance(seen, Tensor) and isinstance(wanted, Tensor):
        tolerance = TOLERANCE.get(wanted.dtype, 0.0)
        return (
            seen.shape != wanted.shape
            or seen.dtype != wanted.dtype
            or not torch.allclose(seen, wanted, rtol=tolerance, atol=tolerance, equal_nan=True)
        )
    return type(seen) is not type(wanted) or bool(seen != wanted)


def load_target(entry: Mutant | RightLayer) -> Any:
    module, _, attribute = entry.target.partition(":")
    return getattr(importlib.import_module(module), attribute)


def maker(entry: Mutant | RightLayer) -> Callable[..., Any]:
    """Makes subjects of the entry's form; called with channels, eps, momentum and, where wanted, a dtype."""
    form, target = FORMS[entry.form], load_target(entry)
    return lambda *arguments: form(target, *arguments)


class Contiguous(TorchModule):
    """torch's own module, handed contiguous copies: what it answers for the values, whatever their layout."""

    def stride(self) -> None:
        pass

    def run(self, x: Tensor, training: bool, needs: str = "x gamma beta") -> Tensor:
        return super().run(x.contiguous(), training, needs)

    def backward(self, dy: Tensor) -> tuple[Tensor | None, ...]:
        return super().backward(dy.contiguous())


def torch_own(*arguments: Any) -> TorchModule:
    return Contiguous(Own, *arguments)


def collect(scenes: Iterable[tuple[str, Any]]) -> Trace:
    """Everything seen, by name; what no name was given twice."""
    seen = list(scenes)
    assert len(dict(seen)) == len(seen), "two scenes have one name"
    return dict(seen)


def deviations(seen: Trace, own: Trace) -> set[str]:
    """First words of the names under which something else was seen; all but verdicts must be known to `own`."""
    assert {name for name, value in seen.items() if not isinstance(value, bool)} <= own.keys()
    return {name.split()[0] for name, value in seen.items() if differs(value, own.get(name))}


def by_id(entry: Mutant | RightLayer) -> str:
    return entry.id


def drawn(shape: tuple[int, ...], seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    column = torch.arange(shape[1], dtype=torch.float64).reshape(1, -1, *[1] * (len(shape) - 2))
    return (1 + column % 5) * torch.randn(shape, generator=generator, dtype=torch.float64) + column % 7 - 2


def parameters(channels: int) -> dict[str, Tensor]:
    c = torch.arange(channels, dtype=torch.float64)
    return {
        "gamma": 0.5 + (c * 7 % 13) / 13,
        "beta": (c * 3 % 11) / 11 - 0.4,
        "running_mean": (c * 5 % 17) / 17,
        "running_var": 1 + (c * 2 % 19) / 19,
    }


def one_pass(
    subject: Any, clause: str, what: str, x: Tensor, dy: Tensor, training: bool, **options: Any
) -> Iterator[tuple[str, Any]]:
    """Output, buffers and gradients of a pass under the name of a clause; that it raised is seen as well."""
    y = attempt(lambda: subject.run(x, training, **options))
    where = f"{clause} {what}, training {training}"
    yield f"{where}: y", y
    yield from ((f"{where}: {name}", values) for name, values in subject.state().items())
    raised = ("raised",) * 3
    found = raised if isinstance(y, str) else attempt(lambda: subject.backward(dy))
    names = ("dx", "dgamma", "dbeta")
    yield from ((f"{where}: {name}", d) for name, d in zip(names, raised if found == "raised" else found, strict=True))


def ready(make: Callable[..., Any], channels: int) -> Any:
    subject = make(channels, 0.03, 0.3)
    subject.load(**parameters(channels))
    return subject
