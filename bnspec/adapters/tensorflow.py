"""tf.raw_ops.FusedBatchNormV3, channels last: the operator owns nothing, and gives the new statistics."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from bnspec.adapters.axes import Backward, from_last, to_last
from bnspec.layers.protocol import Array

FORMATS = {4: "NHWC", 5: "NDHWC"}


class FusedBatchNorm:
    """The operator, and what goes into it and comes out."""

    bnspec_dialect = "tensorflow-fused"
    bnspec_channel_axis = -1
    bnspec_ranks = tuple(FORMATS)
    bnspec_dtypes = ("float32",)
    bnspec_versions: Mapping[str, str] = {"tensorflow": tf.__version__}
    bnspec_forks = False
    bnspec_without = ("initial_state",)
    training = True

    def __init__(self, channels: int, epsilon: float = 1e-4, momentum: float = 1.0, dtype: Any = np.float32) -> None:
        """`momentum` is what the operator calls exponential_avg_factor."""
        self.gamma, self.beta = np.ones(channels, dtype), np.zeros(channels, dtype)
        self.running_mean, self.running_var = np.zeros(channels, dtype), np.ones(channels, dtype)
        self._epsilon, self._momentum = epsilon, momentum

    def __call__(self, x: Array) -> Array:
        return from_last(self._run(*map(copy, (to_last(x), self.gamma, self.beta))))

    def vjp(self, x: Array) -> tuple[Array, Backward]:
        inputs = [copy(value) for value in (to_last(x), self.gamma, self.beta)]
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(inputs)
            y = self._run(*inputs)

        def backward(dy: Array) -> tuple[Array, Array, Array]:
            dx, dgamma, dbeta = tape.gradient(y, inputs, copy(to_last(dy)))
            return from_last(dx), dgamma.numpy(), dbeta.numpy()

        return from_last(y), backward

    def _run(self, x: Any, gamma: Any, beta: Any) -> Any:
        y, mean, var, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=gamma, offset=beta, mean=copy(self.running_mean), variance=copy(self.running_var),
            epsilon=self._epsilon, exponential_avg_factor=self._momentum,
            data_format=FORMATS.get(len(x.shape), "NHWC"), is_training=self.training,
        )  # fmt: skip
        if self.training:
            self.running_mean, self.running_var = mean.numpy(), var.numpy()
        return y


def copy(values: Array) -> Any:
    """A tensor of its own memory: TensorFlow may go on reading that of NumPy."""
    return tf.constant(np.array(values))
