"""tinygrad.nn.BatchNorm, the channel first; a setting of the process says whether it trains."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

import numpy as np
from tinygrad import Tensor, nn
from tinygrad.helpers import Context

from bnspec.adapters.axes import Backward
from bnspec.layers.protocol import Array

NAMES = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_var": "running_var"}


class Tinygrad:
    """A layer as it is constructed, or one that was given ready-made (`around`)."""

    bnspec_dialect = "tinygrad"
    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = ("float32", "float64")
    bnspec_versions: Mapping[str, str] = {"tinygrad": version("tinygrad")}
    training = True

    def __init__(
        self, layer: type[nn.BatchNorm], sz: int, eps: float = 1e-5, momentum: float = 0.1, dtype: Any = np.float32,
        **options: Any,
    ) -> None:  # fmt: skip
        self._layer = layer(sz, eps=eps, momentum=momentum, **options)
        for name in NAMES:
            values = getattr(self, name)
            if values is not None:
                setattr(self, name, values.astype(dtype))

    @classmethod
    def around(cls, layer: nn.BatchNorm) -> Tinygrad:
        """A layer of fixed eps and momentum."""
        self = cls.__new__(cls)
        self._layer = layer
        return self

    def __getattr__(self, name: str) -> Any:
        if name in ("eps", "momentum"):
            return getattr(self._layer, name)
        if name not in NAMES:
            raise AttributeError(name)
        values = getattr(self._layer, NAMES[name], None)
        return None if values is None else np.array(values.numpy())

    def __setattr__(self, name: str, value: Any) -> None:
        if name in NAMES:
            tensor = Tensor(np.ascontiguousarray(value))
            buffer = name.startswith("running")
            setattr(self._layer, NAMES[name], tensor.is_param_(False) if buffer else tensor)
        else:
            super().__setattr__(name, value)

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
            y = self._layer(x).realize()
            if self.training:
                self._layer.running_mean.realize()
                self._layer.running_var.realize()
        return y


def adapt(obj: Any) -> Any:
    """tinygrad.nn.BatchNorm, its subclasses, and layers of these."""
    if isinstance(obj, type) and issubclass(obj, nn.BatchNorm):
        return functools.partial(Tinygrad, obj)
    return Tinygrad.around(obj) if isinstance(obj, nn.BatchNorm) else None
