"""mlx.nn.BatchNorm: a module that holds its arrays, whose gradients come of a second forward."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bnspec.adapters.axes import Backward, from_last, to_last
from bnspec.layers.protocol import Array

NAMES = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}


class Mlx:
    """A module as it is constructed, or one that was given ready-made (`around`)."""

    bnspec_dialect = "mlx"
    bnspec_channel_axis = -1
    bnspec_ranks = (2, 3, 4)
    bnspec_dtypes = ("float32", "float64")
    bnspec_versions: Mapping[str, str] = {"mlx": mx.__version__}
    bnspec_forks = False
    training = True

    def __init__(
        self, module: type[nn.BatchNorm], num_features: int, eps: float = 1e-5, momentum: float = 0.1,
        dtype: Any = np.float32, **options: Any,
    ) -> None:  # fmt: skip
        mx.set_default_device(mx.cpu)  # float64 exists there alone
        self._module = module(num_features, eps=eps, momentum=momentum, **options)
        for name in NAMES:
            values = getattr(self, name)
            if values is not None:
                setattr(self, name, values.astype(dtype))

    @classmethod
    def around(cls, module: nn.BatchNorm) -> Mlx:
        """A layer of fixed eps and momentum."""
        self = cls.__new__(cls)
        self._module = module
        return self

    def __getattr__(self, name: str) -> Any:
        if name in ("eps", "momentum"):
            return getattr(self._module, name)
        if name not in NAMES:
            raise AttributeError(name)
        values = getattr(self._module, NAMES[name], None)
        return None if values is None else np.array(values)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in NAMES:
            setattr(self._module, NAMES[name], send(value))
        else:
            super().__setattr__(name, value)

    def __call__(self, x: Array) -> Array:
        self._module.train(self.training)
        return from_last(self._module(send(to_last(x))))

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        native, training = send(to_last(x)), self.training
        held = {name: getattr(self._module, name) for name in NAMES.values() if name in self._module}
        y = self(x)

        def backward(dy: Array) -> tuple[Array, Array | None, Array | None]:
            kept = dict(self._module)
            parameters = [held[name] for name in ("weight", "bias") if name in held]

            def run(x: mx.array, *parameters: mx.array) -> mx.array:
                for name, value in {**held, **dict(zip(("weight", "bias"), parameters, strict=False))}.items():
                    setattr(self._module, name, value)
                return self._module.train(training)(x)

            try:
                _, (dx, *rest) = mx.vjp(run, [native, *parameters], [send(to_last(dy))])
            finally:
                self._module.update(kept)
            dgamma, dbeta = (np.array(g) for g in rest) if rest else (None, None)
            return from_last(dx), dgamma, dbeta

        return y, backward


def send(values: Array) -> mx.array:
    """A NumPy array as mlx's, of its own dtype: float64 would turn float32."""
    return mx.array(np.ascontiguousarray(values), dtype=getattr(mx, str(values.dtype)))


def adapt(obj: Any) -> Any:
    """mlx.nn.BatchNorm, its subclasses, and layers of these."""
    if isinstance(obj, type) and issubclass(obj, nn.BatchNorm):
        return functools.partial(Mlx, obj)
    return Mlx.around(obj) if isinstance(obj, nn.BatchNorm) else None
