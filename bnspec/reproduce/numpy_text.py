"""Steps of a trace as lines of NumPy, for layers as courses teach them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bnspec.layers.objects import Maker
from bnspec.layers.protocol import Structure, as_dtype
from bnspec.reproduce.lines import Lines
from bnspec.reproduce.literals import write_array
from bnspec.reproduce.steps import STATE, Step

HELPERS = '''
def array(dtype, shape, text, strides=None, offset=0):
    """An array with these numbers, of this layout in memory."""
    values = numbers(text).astype(dtype)
    if strides is None:
        return values.reshape(shape)
    size = values.itemsize
    return np.ndarray(shape, dtype, values.data, offset * size, [stride * size for stride in strides])


def look(value):
    return np.array(value, dtype=np.complex128 if np.iscomplexobj(value) else np.float64)


def name_dtype(value):
    return value.dtype.name


def name_kind(value):
    kinds = {"b": "booleans", "i": "whole numbers", "u": "whole numbers", "c": "complex numbers"}
    return kinds.get(value.dtype.kind, "floating-point numbers")


def find_leaf(value):
    return value


def list_strides(value):
    return tuple(stride // value.itemsize for stride in value.strides)


def write(layer, name, value, anew=False):
    """Into the layer's own array where it fits, or a new one that lies as the value does."""
    own = getattr(layer, name, None)
    if own is None:
        return
    if not anew and own.size == value.size and own.dtype == value.dtype:
        own[...] = value.reshape(own.shape)
    else:
        setattr(layer, name, value.reshape(own.shape) if own.ndim > 1 else value)


def convert(layer, dtype, *names):
    for name in names:
        if getattr(layer, name, None) is not None:
            setattr(layer, name, getattr(layer, name).astype(dtype, copy=False))


def backward(layer, dy):
    found = layer.backward(dy)
    return found if isinstance(found, (tuple, list)) else (found, layer.dgamma, layer.dbeta)
'''


class NumPyText(Lines):
    """Lines for layers in NumPy; `name` is what the script calls the target by."""

    imports: tuple[str, ...] = ()
    helpers = HELPERS

    def __init__(self, maker: Maker, name: str) -> None:
        super().__init__(name, maker.mode)
        self.maker = maker

    def prepare(self, device: str, settings: Mapping[str, Any]) -> Iterator[str]:
        """The lines that come first."""
        yield 'np.seterr(all="ignore")  # NaN and infinity are values like others'

    def knows(self, step: Step) -> bool:
        """Can the step be written?"""
        return super().knows(step) and "again" not in step.given

    def tell(self, step: Step, found: str) -> str:
        """The name of what a step gave."""
        return f"layer{step.layer + 1}.{found}" if step.verb == "read" else f"{found}{step.forward + 1}"

    def _make(self, step: Step, layer: str) -> Iterator[str]:
        structure: Structure = step.given["structure"]
        source = self.maker.source
        native = {"dtype": _Written(f"np.{as_dtype(structure.parameters)}")} if source.takes("dtype") else {}
        yield f"{layer} = {source.tell(structure, **native).replace(source.name, self.name, 1)}"
        if not native:
            yield f"convert({layer}, np.{structure.parameters}, {', '.join(map(repr, STATE))})"

    def _load(self, step: Step, layer: str, anew: str = "") -> Iterator[str]:
        for state in STATE:
            if state in step.given:
                yield f'write({layer}, "{state}", array({write_array(step.given[state])}){anew})'
        if step.given["batches"] is not None:
            yield f'if hasattr({layer}, "batches"):'
            yield f"    {layer}.batches = {step.given['batches']}"

    def _forward(self, step: Step, layer: str) -> Iterator[str]:
        number, training = step.forward + 1, step.given["training"]
        yield f"x{number} = array({write_array(step.given['x'])})"
        if self.told.get(step.layer) != training:
            self.told[step.layer] = training
            yield from self._tell_mode(layer, training)
        yield f"y{number} = {self.mode.write_call(layer, f'x{number}', training)}"

    def _backward(self, step: Step, layer: str) -> Iterator[str]:
        n = step.forward + 1
        yield f"dy{n} = array({write_array(step.given['dy'])})"
        yield f"dx{n}, dgamma{n}, dbeta{n} = backward({layer}, dy{n})"


class _Written(str):
    """Text that stands for itself."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)
