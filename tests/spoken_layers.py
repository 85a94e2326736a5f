"""A batch norm in NumPy that speaks any dialect, written from the words of `bnspec.spec.dialects` alone."""

from __future__ import annotations

import inspect
from dataclasses import replace
from itertools import count
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bnspec.spec.dialects import DIALECTS, Dialect, find_initial_var

Array = NDArray[Any]
CHOICES: dict[str, tuple[Any, ...]] = {
    "normalises_with": ("biased", "unbiased"),
    "stores": ("biased", "unbiased", "nothing"),
    "momentum_weighs": ("new", "old"),
    "momentum_default": (0.1, 0.9, 0.99, 0.5),
    "momentum_none": ("cumulative", "refused", "not offered"),
    "average": ("plain", "debiased", "first copied"),
    "training_statistics": ("batch", "running"),
    "initial_mean": (0.0, 0.5),
    "initial_var": (1.0, 0.0, 2.0, "1 - eps"),
    "buffer_shape": ("(C,)", "(1, C)", "(1, C, 1, ..., 1)"),
    "low_precision_output": ("as x", "promoted", "float32", "refuse"),
    "constants": ("native", "float32"),
    "one_value": ("refuse", "zeros", "x", "as is"),
    "empty_batch": ("refuse", "untouched", "nan"),
    "eval_without_statistics": ("batch", "refuse", "not offered"),
    "integer_input": ("refuse", "convert", "truncate"),
    "eps_default": (1e-5, 1e-3, 0.1),
    "eps_place": (
        "inside the root",
        "outside the root",
        "as a floor under the variance",
        "as a floor under the deviation",
        "nowhere",
    ),
}
"""What a random dialect is made of; the last is no field, and is drawn one time in three."""


def draw_dialect(random: np.random.RandomState) -> tuple[Dialect, str]:
    """A dialect of random fields, and where its eps stands."""
    drawn = {field: values[random.randint(len(values))] for field, values in CHOICES.items()}
    place = drawn.pop("eps_place")
    if random.randint(3):
        place = "inside the root"
    if drawn["momentum_none"] == "not offered":
        drawn["momentum_default"] = None
    return replace(DIALECTS["torch"], name="drawn", **drawn), place


class Spoken:
    """The layer; `dialect` and `place` are given to each class that `speak` makes of it."""

    dialect: Dialect
    place = "inside the root"
    bnspec_without = ("gradients",)
    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = ("float32", "float64")

    def __init__(
        self, channels: int, eps: float, momentum: float | None, track_running_stats: bool, dtype: DTypeLike
    ) -> None:
        if momentum is None and self.dialect.momentum_none != "cumulative":
            raise TypeError("momentum is None")
        self.channels, self.eps, self.momentum, self.training = channels, eps, momentum, True
        self.gamma, self.beta = np.ones(channels, dtype), np.zeros(channels, dtype)
        self.running_mean: Array | None = None
        self.running_var: Array | None = None
        if track_running_stats:
            shape = {"(C,)": (channels,), "(1, C)": (1, channels)}.get(self.dialect.buffer_shape, (1, channels, 1, 1))
            self.running_mean = np.full(shape, self.dialect.initial_mean, dtype)
            self.running_var = np.full(shape, find_initial_var(self.dialect, eps), dtype)
        self._seen = count()

    def __call__(self, x: Array) -> Array:
        d = self.dialect
        if x.dtype.kind == "i" and d.integer_input == "refuse":
            raise TypeError("whole numbers")
        if x.dtype.itemsize == 2 and d.low_precision_output == "refuse":
            raise TypeError("low precision")
        values = np.moveaxis(x, 1, 0).reshape(x.shape[1], -1).astype(np.promote_types(self.gamma.dtype, np.float32))
        y = self._train(values) if self.training else self._evaluate(values)
        y = y * self.gamma[:, None].astype(y.dtype) + self.beta[:, None].astype(y.dtype)
        if self.training and values.shape[1] == 1 and d.one_value == "x":
            y = values
        out = np.moveaxis(y.reshape(x.shape[1], x.shape[0], *x.shape[2:]), 0, 1)
        return out.astype(self._result(x))

    def _result(self, x: Array) -> np.dtype[Any]:
        if x.dtype.kind == "i":
            return x.dtype if self.dialect.integer_input == "truncate" else np.dtype(np.float32)
        if x.dtype.itemsize > 2 or self.dialect.low_precision_output == "as x":
            return x.dtype
        wide = np.dtype(np.float32)
        return wide if self.dialect.low_precision_output == "float32" else np.promote_types(x.dtype, self.gamma.dtype)

    def _train(self, values: Array) -> Array:
        d, m = self.dialect, values.shape[1]
        if m == 0:
            if d.empty_batch == "refuse":
                raise ValueError("an empty batch")
            if d.empty_batch == "nan" and self.running_mean is not None:
                self.running_mean, self.running_var = self.running_mean * np.nan, self.running_mean * np.nan
            return values
        if m == 1 and d.one_value == "refuse":
            raise ValueError("one value a channel")
        mean, biased = values.mean(1), values.var(1)
        if m == 1 and d.one_value == "zeros":
            return np.zeros_like(values)
        with np.errstate(all="ignore"):
            unbiased = biased * m / (m - 1) if m > 1 else biased * np.nan
        self._update(mean, unbiased if d.stores == "unbiased" or m == 1 else biased)
        if d.training_statistics == "running" and self.running_mean is not None:
            return self._evaluate(values)
        return self._normalise(values, mean, unbiased if d.normalises_with == "unbiased" or m == 1 else biased)

    def _update(self, mean: Array, var: Array) -> None:
        if self.running_mean is None or self.running_var is None or self.dialect.stores == "nothing":
            return
        k, one = next(self._seen), np.float64(1)
        given = self._keep(self.momentum) if self.momentum is not None else 0.0
        weight = given if self.dialect.momentum_weighs == "new" else one - given
        if self.dialect.average == "debiased":
            weight = weight / (one - (one - weight) ** (k + 1))
        if self.dialect.average == "first copied" and k == 0:
            weight = one
        if self.momentum is None:
            weight = one / (k + 1)
        shape, dtype = self.running_mean.shape, self.running_mean.dtype
        self.running_mean = ((1 - weight) * self.running_mean + weight * mean.reshape(shape)).astype(dtype)
        self.running_var = ((1 - weight) * self.running_var + weight * var.reshape(shape)).astype(dtype)

    def _evaluate(self, values: Array) -> Array:
        if self.running_mean is None or self.running_var is None:
            if self.dialect.eval_without_statistics == "refuse":
                raise ValueError("no running statistics")
            return self._normalise(values, values.mean(1), values.var(1))
        return self._normalise(values, self.running_mean.reshape(-1), self.running_var.reshape(-1))

    def _normalise(self, values: Array, mean: Array, var: Array) -> Array:
        eps = self._keep(self.eps)
        roots: dict[str, Array] = {
            "inside the root": np.sqrt(var + eps),
            "outside the root": np.sqrt(var) + eps,
            "as a floor under the variance": np.sqrt(np.maximum(var, eps)),
            "as a floor under the deviation": np.maximum(np.sqrt(var), eps),
            "nowhere": np.sqrt(var),
        }
        with np.errstate(all="ignore"):
            return np.asarray((values - mean[:, None]) / roots[self.place][:, None])

    def _keep(self, value: float) -> np.float64:
        return np.float64(np.float32(value) if self.dialect.constants == "float32" else value)


def speak(dialect: Dialect, place: str = "inside the root") -> type[Spoken]:
    """A class of layers, with the signature that the dialect tells of."""
    drawn, told = dialect, place
    fixed = dialect.momentum_none == "not offered"

    class Layer(Spoken):
        dialect, place = drawn, told

        def __init__(self, num_features: int, **settings: Any) -> None:
            plain = {"momentum": 0.28, "track_running_stats": True, "eps": drawn.eps_default, "dtype": np.float32}
            super().__init__(num_features, **{**plain, "momentum": drawn.momentum_default or 0.28, **settings})

    if fixed:
        Layer.bnspec_momentum = 0.28  # type: ignore[attr-defined]  # a declaration
    settings: dict[str, Any] = {"eps": dialect.eps_default, "dtype": np.float32}
    settings |= {} if fixed else {"momentum": dialect.momentum_default}
    settings |= {} if dialect.eval_without_statistics == "not offered" else {"track_running_stats": True}
    channels = inspect.Parameter("num_features", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    Layer.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # what inspect reads
        [channels, *(inspect.Parameter(n, inspect.Parameter.KEYWORD_ONLY, default=v) for n, v in settings.items())]
    )
    return Layer
