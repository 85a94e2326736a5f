"""A layer of a framework behind the attributes of a NumPy layer: what adapters of layer objects share."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Self

from bnspec.layers.protocol import Array


class Wrapped:
    """`layer` is as it was constructed, or was given ready-made (`around`): of fixed eps and momentum.

    `names` maps gamma, beta, running_mean and running_var to the layer's attributes, `settings` eps and momentum, under
    the names that its constructor has. A subclass says how arrays cross, by `_receive` and `_write`.
    """

    names: ClassVar[Mapping[str, str]]
    settings: ClassVar[Mapping[str, str]]
    training = True

    def __init__(self, layer: Any) -> None:
        self._layer = layer

    @classmethod
    def around(cls, layer: Any) -> Self:
        """A layer that is there already, of the dtype that its arrays have."""
        self = cls.__new__(cls)
        Wrapped.__init__(self, layer)
        held = (getattr(self, name) for name in self.names)
        self.bnspec_dtypes = tuple({str(array.dtype): None for array in held if array is not None})[:1]
        return self

    def __getattr__(self, name: str) -> Any:
        if name in self.settings:
            return getattr(self._layer, self.settings[name])
        if name not in self.names:
            raise AttributeError(name)
        native = getattr(self._layer, self.names[name], None)
        return None if native is None else self._receive(native)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.names:
            self._write(name, value)
        else:
            super().__setattr__(name, value)

    def _receive(self, native: Any) -> Array:
        """The framework's array as one of NumPy."""
        raise NotImplementedError

    def _write(self, name: str, value: Array) -> None:
        """Put a value where the layer has it."""
        raise NotImplementedError


def adapting(kind: Any, wrapper: type[Wrapped]) -> Callable[[Any], Any]:
    """A function `adapt` for the classes `kind`, their subclasses, and layers of these."""

    def adapt(obj: Any) -> Any:
        if isinstance(obj, type) and issubclass(obj, kind):
            return functools.partial(wrapper, obj)
        return wrapper.around(obj) if isinstance(obj, kind) else None

    return adapt
