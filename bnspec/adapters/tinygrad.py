"""tinygrad.nn.BatchNorm, the channel first; a setting of the process says whether it trains."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any

import numpy as np
from tinygrad import Tensor, nn
from tinygrad.helpers import Context

from bnspec.adapters.axes import Backward
from bnspec.adapters.wrapped import Wrapped, adapting
from bnspec.layers.protocol import Array


class Tinygrad(Wrapped):
    """A layer."""

    bnspec_dialect = "tinygrad"
    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = ("float32", "float64")
    bnspec_versions: Mapping[str, str] = {"tinygrad": version("tinygrad")}
    bnspec_forks = False  # its CPU device waits for threads of its own, and its cache wants the thread that opened it
    names = MappingProxyType(
        {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}
    )
    settings = MappingProxyType({"eps": "eps", "momentum": "momentum"})

    def __init__(
        self, layer: type[nn.BatchNorm], sz: int, eps: float = 1e-5, momentum: float = 0.1, dtype: Any = np.float32,
        **options: Any,
    ) -> None:  # fmt: skip
        super().__init__(layer(sz, eps=eps, momentum=momentum, **options))
        for name in self.names:
            values = getattr(self, name)
            if values is not None:
                setattr(self, name, values.astype(dtype))

    def _receive(self, native: Tensor) -> Array:
        return np.array(native.numpy())

    def _write(self, name: str, value: Array) -> None:
        tensor = Tensor(np.ascontiguousarray(value))
        buffer = name.startswith("running")
        setattr(self._layer, self.names[name], tensor.is_param_(False) if buffer else tensor)

    def __call__(self, x: Array) -> Array:
        return np.array(self._run(Tensor(np.ascontiguousarray(x))).numpy())

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        tensor = Tensor(np.ascontiguousarray(x))
        y = self._run(tensor)
        inputs = [tensor, *(p for p in (self._layer.weight, self._layer.bias) if p is not None)]

        def backward(dy: Array) -> tuple[Array, Array | None, Array | None]:
            dx, *rest = (g.numpy() for g in (y * Tensor(np.ascontiguousarray(dy))).sum().gradient(*inputs))
            dgamma, dbeta = rest or (None, None)
            return dx, dgamma, dbeta

        return np.array(y.numpy()), backward

    def _run(self, x: Tensor) -> Tensor:
        with Context(TRAINING=int(self.training)):
            y = self._layer(x)  # not realised: that would cut it off from what it was made of
            if self.training:
                self._layer.running_mean.realize()
                self._layer.running_var.realize()
        return y


adapt = adapting(nn.BatchNorm, Tinygrad)
