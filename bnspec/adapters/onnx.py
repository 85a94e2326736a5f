"""The operator BatchNormalization of ONNX, as onnx's own reference evaluator computes it; no gradients.

The operator owns nothing: parameters and running statistics go in, and come out anew where it trains.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import onnx
from onnx import helper

from bnspec.layers.protocol import Array

INPUTS, OUTPUTS = ["X", "scale", "B", "input_mean", "input_var"], ["Y", "running_mean", "running_var"]
OPSET = 15
Run = Callable[[dict[str, Array]], list[Array]]


def evaluate(model: onnx.ModelProto) -> Run:
    """By the evaluator that onnx itself has, in NumPy."""
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(model)
    return lambda feeds: list(evaluator.run(None, feeds))


@cache
def load(
    evaluate: Callable[[onnx.ModelProto], Run], training: bool, epsilon: float, momentum: float, dtype: str
) -> Run:
    """A node of these attributes, ready to run."""
    outputs = OUTPUTS if training else OUTPUTS[:1]
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    node = helper.make_node(
        "BatchNormalization", INPUTS, outputs, training_mode=int(training), epsilon=epsilon, momentum=momentum
    )
    values = [[helper.make_tensor_value_info(name, element, None) for name in names] for names in (INPUTS, outputs)]
    graph = helper.make_graph([node], "batch_norm", *values)
    return evaluate(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9))


class BatchNormalization:
    """One node for training and one for inference, and what goes in and comes out of them."""

    bnspec_dialect = "onnx"
    bnspec_ranks = (2, 3, 4, 5)
    bnspec_dtypes = ("float32", "float64")
    bnspec_versions: Mapping[str, str] = {"onnx": onnx.__version__}
    bnspec_without = ("gradients", "initial_state")
    evaluate = staticmethod(evaluate)
    training = True

    def __init__(
        self, num_features: int, epsilon: float = 1e-5, momentum: float = 0.9, dtype: Any = np.float32
    ) -> None:
        self.gamma, self.beta = np.ones(num_features, dtype), np.zeros(num_features, dtype)
        self.running_mean, self.running_var = np.zeros(num_features, dtype), np.ones(num_features, dtype)
        self._settings = epsilon, momentum, str(np.dtype(dtype))

    def __call__(self, x: Array) -> Array:
        values = (np.ascontiguousarray(x), self.gamma, self.beta, self.running_mean, self.running_var)
        found = load(self.evaluate, self.training, *self._settings)(dict(zip(INPUTS, values, strict=True)))
        if self.training:
            _, self.running_mean, self.running_var = found
        return found[0]
