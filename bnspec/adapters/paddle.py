"""paddle.nn.BatchNorm1D, BatchNorm2D and BatchNorm3D, the channel first."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import paddle

from bnspec.adapters.axes import Backward
from bnspec.layers.protocol import Array

NAMES = {"gamma": "weight", "beta": "bias", "running_mean": "_mean", "running_var": "_variance"}
RANKS = {paddle.nn.BatchNorm1D: (2, 3), paddle.nn.BatchNorm2D: (4,), paddle.nn.BatchNorm3D: (5,)}


class Paddle:
    """A layer as it is constructed, or one that was given ready-made (`around`)."""

    bnspec_dialect = "paddle"
    bnspec_dtypes = ("float32", "float64")
    bnspec_versions: Mapping[str, str] = {"paddle": paddle.__version__}
    bnspec_forks = False
    training = True

    def __init__(
        self, layer: type, num_features: int, epsilon: float = 1e-5, momentum: float = 0.9, dtype: Any = np.float32,
        **options: Any,
    ) -> None:  # fmt: skip
        before = paddle.get_default_dtype()
        paddle.set_default_dtype(np.dtype(dtype).name)
        try:
            self._layer = layer(num_features, epsilon=epsilon, momentum=momentum, **options)
        finally:
            paddle.set_default_dtype(before)

    @property
    def bnspec_ranks(self) -> tuple[int, ...]:
        """Those of the layer's class."""
        return next(ranks for kind, ranks in RANKS.items() if isinstance(self._layer, kind))

    @classmethod
    def around(cls, layer: Any) -> Paddle:
        """A layer of fixed eps and momentum."""
        self = cls.__new__(cls)
        self._layer = layer
        return self

    def __getattr__(self, name: str) -> Any:
        if name in ("epsilon", "momentum"):
            return getattr(self._layer, f"_{name}")
        if name not in NAMES:
            raise AttributeError(name)
        values = getattr(self._layer, NAMES[name], None)
        return None if values is None else np.array(values.numpy())

    def __setattr__(self, name: str, value: Any) -> None:
        if name in NAMES:
            getattr(self._layer, NAMES[name]).set_value(np.ascontiguousarray(value))
        else:
            super().__setattr__(name, value)

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


def adapt(obj: Any) -> Any:
    """The three classes, their subclasses, and layers of these."""
    if isinstance(obj, type) and issubclass(obj, tuple(RANKS)):
        return functools.partial(Paddle, obj)
    return Paddle.around(obj) if isinstance(obj, tuple(RANKS)) else None
