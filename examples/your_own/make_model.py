"""Writes the ONNX file beside it: one batch norm that trains and one that infers, of four channels.

bnspec certify examples/your_own/model.onnx:trains
bnspec certify examples/your_own/model.onnx:infers
"""

from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper, save

random = np.random.RandomState(0)
shape = ["N", 4, "H", "W"]
nodes, initializers = [], []
for name, source, outputs in (("trains", "x", ["between", "new_mean", "new_var"]), ("infers", "between", ["y"])):
    held = [f"{name}.{part}" for part in ("scale", "bias", "mean", "var")]
    values = random.uniform(0.5, 1.5, (4, 4)).astype(np.float32)
    initializers += [numpy_helper.from_array(value, part) for value, part in zip(values, held, strict=True)]
    settings = {"epsilon": 1e-3, "momentum": 0.7, "training_mode": int(name == "trains")}
    nodes.append(helper.make_node("BatchNormalization", [source, *held], outputs, name, **settings))
ends = [helper.make_tensor_value_info(end, TensorProto.FLOAT, shape) for end in ("x", "y")]
graph = helper.make_graph(nodes, "two_batch_norms", ends[:1], ends[1:], initializers)
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=9)
save(model, Path(__file__).with_name("model.onnx"))
