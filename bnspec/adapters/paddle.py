"""paddle.nn.BatchNorm1D, BatchNorm2D and BatchNorm3D, the channel first."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import paddle

from bnspec.adapters.axes import Backward
from bnspec.adapters.wrapped import Wrapped, adapting
from bnspec.layers.protocol import Array

RANKS = {paddle.nn.BatchNorm1D: (2, 3), paddle.nn.BatchNorm2D: (4,), paddle.nn.BatchNorm3D: (5,)}


class Paddle(Wrapped):
    """A layer."""

    bnspec_dialect = "paddle"
    bnspec_dtypes = ("float32", "float64")
    bnspec_versions: Mapping[str, str] = {"paddle": paddle.__version__}
    bnspec_forks = False
    names = MappingProxyType({"gamma": "weight", "beta": "bias", "running_mean": "_mean", "running_var": "_variance"})
    settings = MappingProxyType({"epsilon": "_epsilon", "momentum": "_momentum"})

    def __init__(
        self, layer: type, num_features: int, epsilon: float = 1e-5, momentum: float = 0.9, dtype: Any = np.float32,
        **options: Any,
    ) -> None:  # fmt: skip
        before = paddle.get_default_dtype()
        paddle.set_default_dtype(np.dtype(dtype).name)
        try:
            super().__init__(layer(num_features, epsilon=epsilon, momentum=momentum, **options))
        finally:
            paddle.set_default_dtype(before)

    @property
    def bnspec_ranks(self) -> tuple[int, ...]:
        """Those of the layer's class."""
        return next(ranks for kind, ranks in RANKS.items() if isinstance(self._layer, kind))

    def _receive(self, native: Any) -> Array:
        return np.array(native.numpy())

    def _write(self, name: str, value: Array) -> None:
        getattr(self._layer, self.names[name]).set_value(np.ascontiguousarray(value))

    def __call__(self, x: Array) -> Array:
        return np.array(self._run(paddle.to_tensor(np.ascontiguousarray(x))).numpy())

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        tensor = paddle.to_tensor(np.ascontiguousarray(x), stop_gradient=False)
        y = self._run(tensor)
        inputs = [tensor, *(p for p in (self._layer.weight, self._layer.bias) if p is not None)]

        def backward(dy: Array) -> tuple[Array, Array | None, Array | None]:
            upstream = paddle.to_tensor(np.ascontiguousarray(dy))
            dx, *rest = (g.numpy() for g in paddle.grad([y], inputs, [upstream], retain_graph=True))
            found = iter(rest)
            dgamma = None if self._layer.weight is None else next(found)
            return dx, dgamma, None if self._layer.bias is None else next(found)

        return np.array(y.numpy()), backward

    def _run(self, x: Any) -> Any:
        self._layer.train() if self.training else self._layer.eval()
        return self._layer(x)


adapt = adapting(tuple(RANKS), Paddle)
