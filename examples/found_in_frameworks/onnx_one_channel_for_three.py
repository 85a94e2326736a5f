"""B1: onnx's reference evaluator takes one channel for three, and gives three."""

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

names = ["X", "scale", "B", "mean", "var"]
node = helper.make_node("BatchNormalization", names, ["Y"])
values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in [*names, "Y"]]
graph = helper.make_graph([node], "g", values[:5], values[5:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
three = np.ones(3, np.float32)
y = ReferenceEvaluator(model).run(None, dict.fromkeys(names, three) | {"X": np.ones((4, 1), np.float32)})[0]
print("got", list(y.shape), "wanted", "an error")
