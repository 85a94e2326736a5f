"""R2: onnx's reference evaluator forms 1 - momentum in float32: in float64 the two weights do not sum to 1."""

import numpy as np
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

names, outputs = ["X", "scale", "B", "mean", "var"], ["Y", "new_mean", "new_var"]
node = helper.make_node("BatchNormalization", names, outputs, training_mode=1, momentum=0.05)
values = [helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in names + outputs]
graph = helper.make_graph([node], "g", values[:5], values[5:])
model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)])
one = np.ones(1)
fed = dict.fromkeys(names, one) | {"X": np.array([[0.0], [2.0]])}  # the mean was 1, and stays 1
print("got", ReferenceEvaluator(model).run(None, fed)[1].tolist(), "wanted", [1.0])
