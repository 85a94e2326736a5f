"""The operator BatchNormalization of ONNX, as onnxruntime computes it on the CPU."""

from __future__ import annotations

from collections.abc import Mapping

import onnx
import onnxruntime

from bnspec.adapters import onnx as reference


def evaluate(model: onnx.ModelProto) -> reference.Run:
    """The model in a session, on the CPU."""
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return lambda feeds: list(session.run(None, feeds))


class BatchNormalization(reference.BatchNormalization):
    """One node for training and one for inference."""

    bnspec_dialect = "onnxruntime"
    bnspec_versions: Mapping[str, str] = {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}
    evaluate = staticmethod(evaluate)
