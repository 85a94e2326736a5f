"""The layer under test, as experiments see it: arrays in, arrays out, every convention of a framework behind it.

Batches cross with the channel on axis 1, whatever the framework's own axis; strides cross with them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from bnspec.spec.formats import PRECISIONS

Array = NDArray[Any]
Stage = Literal["construction", "forward", "backward", "state"]


@dataclass(frozen=True)
class Structure:
    """What a layer is made for. `momentum` is the number given to the constructor (None: cumulative average).

    `dtype` names a precision (`bnspec.spec.formats.PRECISIONS`): that of x, and another of the parameters if mixed.
    `tracked` False asks for a layer without running statistics, which the ability `untracked` offers; `affine` False
    for one without gamma and beta, which `unscaled` offers; `shifted` False for one without beta alone (`unshifted`),
    `scaled` False for one without gamma alone (`beta_alone`).
    `untouched` True asks for a layer as the constructor left it, without running statistics if its first batch makes
    them (`late_statistics`); it is ready to be loaded otherwise.
    """

    channels: int
    rank: int
    dtype: str
    device: str
    eps: float
    momentum: float | None
    tracked: bool = True
    affine: bool = True
    shifted: bool = True
    scaled: bool = True
    untouched: bool = False

    @property
    def storage(self) -> str:
        return PRECISIONS[self.dtype].storage.name

    @property
    def parameters(self) -> str:
        return PRECISIONS[self.dtype].parameters.name


@dataclass(frozen=True)
class Grad:
    """Which of x, gamma and beta need a gradient; `recording` False switches recording off altogether."""

    x: bool = False
    gamma: bool = False
    beta: bool = False
    recording: bool = True


NONE = Grad()
ALL = Grad(True, True, True)
OFF = Grad(recording=False)


@dataclass(frozen=True)
class State:
    """Parameters and buffers in native shapes and dtypes; None where the layer has none. `batches` is the counter."""

    gamma: Array | None = None
    beta: Array | None = None
    running_mean: Array | None = None
    running_var: Array | None = None
    batches: int | None = None


@dataclass(frozen=True)
class Gradients:
    """Gradients by x (shape of x), gamma and beta (shape (C,)); None where none was asked for or none came."""

    x: Array | None
    gamma: Array | None
    beta: Array | None


@dataclass(frozen=True)
class Description:
    """What the native object is, beyond its values. `strides` count elements."""

    dtype: str
    device: str
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    holds_graph: bool = False


class SubjectError(Exception):
    """The subject raised, or handed back what is no array, after a well-formed call: a finding, no fault of ours."""

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage: Stage = stage
        self.reason = reason


class calling:  # noqa: N801  # reads as a verb, and as a class it takes a third of a generator's time
    """Turn whatever the subject raises inside into a SubjectError of `stage`: SystemExit too, each is a finding."""

    __slots__ = ("_stage",)

    def __init__(self, stage: Stage) -> None:
        self._stage: Stage = stage

    def __enter__(self) -> None: ...

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, SubjectError | KeyboardInterrupt):
            return
        text = str(error).strip().splitlines()
        reason = f"raised {type(error).__name__}: {text[0] if text else '(no message)'}"
        raise SubjectError(self._stage, reason) from error


class Pass(Protocol):
    """One forward, kept so that its backward can come later."""

    @property
    def y(self) -> Array: ...

    def backward(self, dy: Array) -> Gradients: ...

    def read(self, what: Literal["x", "y", "dy"]) -> Array:
        """The native object's values as they are now, so that overwriting and aliasing show."""

    def describe(self, what: Literal["y", "dx"] = "y") -> Description:
        """What was handed out; dx is that of the latest backward."""

    def watch(self) -> Callable[[], object]:
        """A function that gives the native input as long as anything keeps it alive, then None."""


class Layer(Protocol):
    """A batch norm made by an implementation. Every method may raise SubjectError."""

    def run(self, x: Array, *, training: bool, grad: Grad = NONE) -> Pass: ...

    def state(self) -> State: ...

    def load(self, state: State) -> None: ...

    def rebind(self, state: State) -> None:
        """As `load`, into new memory, in which the arrays lie as those of `state` do."""

    def describe(self, what: Literal["running_mean", "running_var"]) -> Description | None: ...


# What only some layers can do, one protocol an ability of `promises`. Every method may raise SubjectError.
class Reenters(Protocol):
    """`reentrance`: passes wait for their backwards while others run."""

    def add_up(self, passes: Sequence[Pass], dys: Sequence[Array]) -> Sequence[Gradients]:
        """Gradients of the sum of passes of this layer: x of each, gamma and beta of all, the same in each."""

    def answer_twice(self, passed: Pass, dy: Array) -> tuple[Gradients, Callable[[], Gradients]]:
        """A backward that keeps what it needs, and another one of the same forward, which may refuse."""

    def accumulate(self, passed: Pass, dy: Array, there: Gradients) -> Gradients | None:
        """A backward that adds to gradients which gamma and beta have already; None where they are made anew."""

    def run_again(self, passed: Pass, *, training: bool, grad: Grad = NONE, x: Array | None = None) -> Pass:
        """Another pass of the native input of an earlier one, the same object, overwritten with `x` where given."""


By = Literal["x", "gamma", "beta", "dy"]


class DifferentiatesTwice(Protocol):
    """`second_order`: gradients that can be differentiated again, or say that they cannot."""

    def differentiate_twice(
        self, passed: Pass, dy: Array, along: Gradients, *, curved: bool = False
    ) -> Callable[[By, bool], Array | None]:
        """Asks for the gradient of <along.x, dx> + <along.gamma, dgamma> + <along.beta, dbeta> by one thing.

        Each question is asked alone. Only where its second argument is true may the answer be None, for what is
        nowhere used; else that is an error. `curved` adds |y - y0|^2/2 to the loss, y0 being y as it came out.
        """


class PushesForward(Protocol):
    """`forward_mode`: tangents that are carried from x, gamma and beta to y, or an error."""

    def push_forward(self, x: Array, along: Gradients, *, training: bool) -> tuple[Array, Array | None]:
        """y and its tangent; None where it came without any."""


class Recomputes(Protocol):
    """`recomputation`: a training pass that keeps nothing."""

    def recompute(self, x: Array, grad: Grad) -> Pass:
        """A pass whose forward runs a second time in its backward, to the end."""


class Switches(Protocol):
    """`switches`: a mode of the layer's own."""

    def switch(self, training: bool) -> None: ...


class Saves(Protocol):
    """`saves`: what is saved may share memory with the layer, and is restored before that changes.

    `within` saves, or restores, a model that has the layer as a part.
    """

    def save(self, *, within: bool = False) -> object: ...

    def restore(self, saved: object | None, *, within: bool = False) -> None:
        """Take over what `save` of any such layer gave; None restores an empty save."""

    def restore_parameters(self, saved: object) -> bool:
        """Take over gamma and beta alone, from a save that has nothing else; False where it has not both by name."""

    def restore_older(self, saved: object) -> bool:
        """Take over all but the counter, from a save as earlier versions of the framework wrote it; False where there
        were none."""


class Copies(Protocol):
    """`copies`: by the means of the language or of the framework. A copy is in the mode of its original."""

    def copy(self) -> Layer: ...

    def travel(self) -> Layer | None:
        """A copy that went through bytes, as between processes; None where the language cannot write it."""


class Retunes(Protocol):
    """`retunes`: eps and momentum are attributes, which are read when they are used."""

    def retune(self, *, eps: float, momentum: float | None) -> None: ...


class Converts(Protocol):
    """`converts`: in place."""

    def convert(self, dtype: str) -> None: ...


class Resets(Protocol):
    """`resets`: of running statistics and counter, in place."""

    def reset(self) -> None: ...


def name_kind(dtype: np.dtype[Any]) -> str:
    """What kind of numbers it holds, in words."""
    return {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "c": "complex numbers"}.get(
        dtype.kind, "floating-point numbers"
    )


@cache
def as_dtype(name: str) -> np.dtype[Any]:
    """The NumPy dtype of a format's name; bfloat16 comes from ml_dtypes."""
    if name == "bfloat16":
        import ml_dtypes

        name = ml_dtypes.bfloat16
    dtype: np.dtype[Any] = np.dtype(name)
    return dtype
