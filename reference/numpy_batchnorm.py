"""Batch normalisation in NumPy, forward and backward by hand.

A batch x has shape (N, C, D1, ..., Dk), k >= 0. Axis 1 is the channel; the m = N D1 ... Dk values of a channel are
normalised together. Inside, a batch is a matrix of C rows and m columns, so that every formula is a line:

    mean = sum(x) / m                       xhat = (x - mean) / sqrt(var + eps)
    var  = sum((x - mean)**2) / m           y    = gamma * xhat + beta

    dbeta  = sum(dy)
    dgamma = sum(dy * xhat)
    dx     = gamma / sqrt(var + eps) * (dy - dbeta / m - xhat * dgamma / m)       in training
    dx     = gamma / sqrt(var + eps) * dy                                         in evaluation

Source: Ioffe & Szegedy 2015, "Batch Normalization", algorithms 1 and 2; the conventions are torch.nn.BatchNorm's.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

Array = NDArray[Any]


class BatchNorm:
    """Batch normalisation over axis 1, for any rank from 2 on and any floating-point dtype.

    The dtype of x rules: y and dx have it, and the arithmetic is done in it, in float32 where x is float16. Parameters
    and buffers, all of shape (C,), keep the dtype they have, and dgamma and dbeta take the one of their parameter.

    Attributes that may be read and assigned: `gamma`, `beta`, `running_mean`, `running_var` (the unbiased variance),
    `training`, `eps`, `momentum` (the weight of the newest batch; None: the plain average over all batches) and
    `batches`, the number of batches averaged so far. `dgamma` and `dbeta` are those of the latest backward.
    """

    # The suite reads these from the class, so that this file need not import it.
    bnspec_dialect = "torch"
    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = ("float16", "float32", "float64")

    def __init__(
        self, num_features: int, momentum: float | None = 0.1, eps: float = 1e-5, dtype: DTypeLike = np.float32
    ) -> None:
        """Start with gamma 1, beta 0, running mean 0, running variance 1, all of shape (num_features,) and of `dtype`.

        Raises ValueError for eps <= 0, a momentum outside [0, 1] or a dtype that is not floating point.
        """
        if not eps > 0:
            raise ValueError(f"eps is {eps}: a number above 0 is needed, or a constant channel divides by 0")
        if not (momentum is None or 0 <= momentum <= 1):
            raise ValueError(f"momentum is {momentum}: a weight in [0, 1] is needed, or None for the plain average")
        if np.dtype(dtype).kind != "f":
            raise ValueError(f"dtype is {np.dtype(dtype)}: a floating-point one is needed, such as float32")
        self.num_features = num_features
        # Python's own floats take the precision of the array they meet; NumPy's scalars would impose theirs.
        self.eps = float(eps)
        self.momentum = None if momentum is None else float(momentum)
        self.training = True
        self.gamma: Array = np.ones(num_features, dtype)
        self.beta: Array = np.zeros(num_features, dtype)
        self.running_mean: Array = np.zeros(num_features, dtype)
        self.running_var: Array = np.ones(num_features, dtype)
        self.batches = 0
        self.dgamma: Array | None = None
        self.dbeta: Array | None = None
        self._latest: _Pass | None = None

    def __call__(self, x: ArrayLike) -> Array:
        return self.forward(x)

    def forward(self, x: ArrayLike) -> Array:
        """Normalise x, shape (N, C, D1, ..., Dk): with its own statistics in training, with the running ones otherwise.

        Training updates the buffers, by assigning new arrays. An empty batch gives an empty output and updates nothing.
        Raises ValueError, and changes nothing, where x is not floating point, has not rank >= 2 or not C channels, and
        in training where a channel has a single value.
        """
        x = np.asarray(x)
        self._check(x)
        rows = _as_rows(x, np.promote_types(x.dtype, np.float32))
        m = rows.shape[1]
        training = self.training and m > 0  # no values, no statistics: an empty batch passes as in evaluation
        if training:
            mean, var, centred = _moments(rows)
        else:
            mean, var = _as_column(self.running_mean, rows.dtype), _as_column(self.running_var, rows.dtype)
            centred = rows - mean
        std = np.sqrt(var + self.eps)
        xhat = centred / std
        gamma, beta = _as_column(self.gamma, rows.dtype), _as_column(self.beta, rows.dtype)
        y = gamma * xhat + beta
        if training:
            self._update(mean.ravel(), var.ravel() * (m / (m - 1)))
        self._latest = _Pass(training, xhat, gamma / std, x.shape, x.dtype)
        return _from_rows(y, x.shape, x.dtype)

    def backward(self, dy: ArrayLike) -> Array:
        """From dy = dL/dy of the latest forward, return dx = dL/dx and set `dgamma` and `dbeta` (not added up).

        Mode and parameters are those of that forward, whatever was assigned since. dy has the shape of y.
        Raises ValueError where there was no forward, and where dy is not floating point or has another shape.
        """
        if self._latest is None:
            raise ValueError("backward was called before any forward: call the layer on a batch first")
        training, xhat, scale, shape, dtype = self._latest
        dy = np.asarray(dy)
        if dy.dtype.kind != "f":
            raise ValueError(f"dy has dtype {dy.dtype}: a floating-point array is needed")
        if dy.shape != shape:
            raise ValueError(f"dy has shape {dy.shape}: the latest output has shape {shape}, and dy needs the same")
        rows = _as_rows(dy, xhat.dtype)
        dbeta = rows.sum(axis=1)
        dgamma = (rows * xhat).sum(axis=1)
        if training:
            # x acts on y through the mean and the variance of its batch as well.
            m = rows.shape[1]
            rows = rows - _as_column(dbeta / m, rows.dtype) - xhat * _as_column(dgamma / m, rows.dtype)
        self.dgamma = dgamma.astype(self.gamma.dtype)
        self.dbeta = dbeta.astype(self.beta.dtype)
        return _from_rows(scale * rows, shape, dtype)

    def _check(self, x: Array) -> None:
        if x.dtype.kind != "f":
            raise ValueError(f"x has dtype {x.dtype}: a floating-point array is needed, such as x.astype(np.float32)")
        if x.ndim < 2:
            raise ValueError(f"x has shape {x.shape}: (N, C) or (N, C, D1, ...) is needed, the channel on axis 1")
        if x.shape[1] != self.num_features:
            raise ValueError(f"x has shape {x.shape}, {x.shape[1]} channels: the layer has {self.num_features}")
        if self.training and x.size == self.num_features:
            raise ValueError(f"x has shape {x.shape}, one value per channel: training needs two for a variance")

    def _update(self, mean: Array, var: Array) -> None:
        self.batches += 1
        weight = 1 / self.batches if self.momentum is None else self.momentum
        self.running_mean = _blend(self.running_mean, mean, weight)
        self.running_var = _blend(self.running_var, var, weight)


class _Pass(NamedTuple):
    """What a backward needs of its forward. Nothing in it is shared with the caller."""

    training: bool
    xhat: Array
    scale: Array  # dy/dxhat * dxhat/dx at fixed statistics: gamma / sqrt(var + eps), shape (C, 1)
    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def _moments(rows: Array) -> tuple[Array, Array, Array]:
    """Mean (C, 1), biased variance (C, 1) and centred values (C, m), by the corrected two-pass algorithm.

    The values minus their mean would sum to 0, were the mean not rounded; what they sum to is the mean's error.
    Source: Chan, Golub & LeVeque 1983, "Algorithms for computing the sample variance".
    """
    mean = rows.mean(axis=1, keepdims=True)
    centred = rows - mean
    correction = centred.mean(axis=1, keepdims=True)
    centred = centred - correction
    return mean + correction, np.square(centred).mean(axis=1, keepdims=True), centred


def _blend(old: Array, new: Array, weight: float) -> Array:
    """The average of a buffer and a batch's statistic, in the wider dtype of the two; a new array of the buffer's."""
    wide = np.promote_types(old.dtype, new.dtype)
    return ((1 - weight) * old.astype(wide) + weight * new.astype(wide)).astype(old.dtype)


def _as_rows(x: Array, dtype: np.dtype[Any]) -> Array:
    """(N, C, D1, ..., Dk) as (C, m), each row contiguous: NumPy then sums pairwise, and alike for every layout."""
    return np.ascontiguousarray(np.moveaxis(x, 1, 0).reshape(x.shape[1], -1), dtype)


def _from_rows(rows: Array, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """The way back from `_as_rows`."""
    n, c, *positions = shape
    return np.ascontiguousarray(np.moveaxis(rows.reshape(c, n, *positions), 0, 1), dtype)


def _as_column(vector: Array, dtype: np.dtype[Any]) -> Array:
    """(C,) as (C, 1), one number for each row."""
    return vector.astype(dtype)[:, np.newaxis]
