"""Layers that are wrong in a way that a claim about batch norm in a network tells: NumPy's reference but for one habit,
at rank 2 and in float32."""

from __future__ import annotations

from typing import Any

import numpy as np

from bnspec.layers.target import load_target

Reference: Any = load_target("reference:numpy").obj


class Right(Reference):  # type: ignore[misc]  # loaded by name
    """The reference itself."""

    bnspec_ranks = (2,)
    bnspec_dtypes = ("float32",)
    training: Any
    dgamma: Any
    dbeta: Any


class Identity(Right):
    """No normalisation at all."""

    def forward(self, x: Any) -> Any:
        super().forward(x)
        return np.array(x)

    def backward(self, dy: Any) -> Any:
        super().backward(dy)
        return np.array(dy)


class Detached(Right):
    """The batch's mean and variance are taken for constants in the backward."""

    def backward(self, dy: Any) -> Any:
        super().backward(dy)
        return (dy * self._latest.scale.T).astype(dy.dtype)


class FrozenScale(Right):
    """gamma gets no gradient to speak of."""

    def backward(self, dy: Any) -> Any:
        dx = super().backward(dy)
        self.dgamma = np.zeros_like(self.dgamma)
        return dx


class Uphill(Right):
    """The gradient of beta has the other sign."""

    def backward(self, dy: Any) -> Any:
        dx = super().backward(dy)
        self.dbeta = -self.dbeta
        return dx


class Centred(Right):
    """The mean is taken away and the width stays."""

    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        if not self.training:
            return y
        return (self.gamma * (x - x.mean(axis=0)) + self.beta).astype(x.dtype)


class HalfOfTheBatch(Right):
    """Statistics of every other example: twice the noise."""

    def forward(self, x: Any) -> Any:
        y = super().forward(x)
        if not self.training:
            return y
        part = x[::2]
        xhat = (x - part.mean(axis=0)) / np.sqrt(part.var(axis=0) + self.eps)
        return (self.gamma * xhat + self.beta).astype(x.dtype)


class NeverEvaluates(Right):
    """Evaluation normalises with the batch, as training does."""

    def forward(self, x: Any) -> Any:
        mode, self.training = self.training, True
        y = super().forward(x)
        self.training = mode
        return y
