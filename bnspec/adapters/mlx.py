"""mlx.nn.BatchNorm: a module that holds its arrays, whose gradients come of a second forward."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from bnspec.adapters.axes import Backward, from_last, to_last
from bnspec.adapters.wrapped import Wrapped, adapting
from bnspec.layers.protocol import Array


class Mlx(Wrapped):
    """A module."""

    bnspec_dialect = "mlx"
    bnspec_channel_axis = -1
    bnspec_ranks = (2, 3, 4)
    bnspec_dtypes = ("float32", "float64")
    bnspec_versions: Mapping[str, str] = {"mlx": mx.__version__}
    bnspec_forks = False
    names = MappingProxyType(
        {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}
    )
    settings = MappingProxyType({"eps": "eps", "momentum": "momentum"})

    def __init__(
        self, module: type[nn.BatchNorm], num_features: int, eps: float = 1e-5, momentum: float = 0.1,
        dtype: Any = np.float32, **options: Any,
    ) -> None:  # fmt: skip
        mx.set_default_device(mx.cpu)  # float64 exists there alone
        super().__init__(module(num_features, eps=eps, momentum=momentum, **options))
        for name in self.names:
            values = getattr(self, name)
            if values is not None:
                setattr(self, name, values.astype(dtype))

    def _receive(self, native: mx.array) -> Array:
        return np.array(native)

    def _write(self, name: str, value: Array) -> None:
        setattr(self._layer, self.names[name], send(value))

    def __call__(self, x: Array) -> Array:
        self._layer.train(self.training)
        return from_last(self._layer(send(to_last(x))))

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        native, training = send(to_last(x)), self.training
        held = {name: getattr(self._layer, name) for name in self.names.values() if name in self._layer}
        y = self(x)

        def backward(dy: Array) -> tuple[Array, Array | None, Array | None]:
            kept = dict(self._layer)
            parameters = [held[name] for name in ("weight", "bias") if name in held]

            def run(x: mx.array, *parameters: mx.array) -> mx.array:
                for name, value in {**held, **dict(zip(("weight", "bias"), parameters, strict=False))}.items():
                    setattr(self._layer, name, value)
                return self._layer.train(training)(x)

            try:
                _, (dx, *rest) = mx.vjp(run, [native, *parameters], [send(to_last(dy))])
            finally:
                self._layer.update(kept)
            dgamma, dbeta = (np.array(g) for g in rest) if rest else (None, None)
            return from_last(dx), dgamma, dbeta

        return y, backward


def send(values: Array) -> mx.array:
    """A NumPy array as mlx's, of its own dtype: float64 would turn float32."""
    return mx.array(np.ascontiguousarray(values), dtype=getattr(mx, str(values.dtype)))


adapt = adapting(nn.BatchNorm, Mlx)
