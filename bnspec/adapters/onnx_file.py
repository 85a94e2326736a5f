"""A node BatchNormalization of an ONNX file: its attributes, opset and initial values, run by itself in onnxruntime."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from bnspec.adapters.onnx import INPUTS, OUTPUTS
from bnspec.adapters.onnxruntime import evaluate
from bnspec.layers.protocol import Array
from bnspec.layers.target import TargetError, suggest

OPERATOR = "BatchNormalization"
STATE = {"gamma": "scale", "beta": "B", "running_mean": "input_mean", "running_var": "input_var"}
"""What a layer holds, by the names of the operator's inputs."""
RANKS = (2, 3, 4, 5)
DEFAULTS = {"epsilon": 1e-5, "momentum": 0.9, "training_mode": 0}


class Node:
    """One node as a layer of fixed eps, momentum and channels; one that does not train is an inference in any mode."""

    bnspec_without = ("gradients", "initial_state")

    def __init__(self, model: onnx.ModelProto, node: onnx.NodeProto, state: dict[str, Array], rank: int | None) -> None:
        attributes = DEFAULTS | {a.name: helper.get_attribute_value(a) for a in node.attribute}
        self.epsilon, self.momentum = float(attributes["epsilon"]), float(attributes["momentum"])
        self.trains = bool(attributes["training_mode"])
        self.training = self.trains
        self.bnspec_dialect = "onnxruntime" if self.trains else "onnx-inference"
        self.bnspec_ranks = RANKS if rank is None else (rank,)
        self.bnspec_dtypes = (str(state["gamma"].dtype),)
        self.bnspec_versions = {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__}
        for name, value in state.items():
            setattr(self, name, value)
        self._infer = _Runs(model, node, training=False)
        self._train = _Runs(model, node, training=True) if self.trains else self._infer

    def __call__(self, x: Array) -> Array:
        values = (np.ascontiguousarray(x), *(np.ascontiguousarray(getattr(self, name)) for name in STATE))
        found = (self._train if self.training else self._infer)(dict(zip(INPUTS, values, strict=True)))
        if len(found) > 1:
            _, self.running_mean, self.running_var = found
        return found[0]


class _Runs:
    """The node in a graph of its own; copies share its session."""

    def __init__(self, model: onnx.ModelProto, node: onnx.NodeProto, *, training: bool) -> None:
        alone = copy.deepcopy(node)
        outputs = OUTPUTS if training else OUTPUTS[:1]
        alone.input[:], alone.output[:] = INPUTS, outputs
        if not training:
            kept = [a for a in alone.attribute if a.name != "training_mode"]
            del alone.attribute[:]
            alone.attribute.extend(kept)
        scale = _find_values(model)[node.input[1]]
        element = helper.np_dtype_to_tensor_dtype(scale.dtype)
        values = [[helper.make_tensor_value_info(n, element, None) for n in names] for names in (INPUTS, outputs)]
        graph = helper.make_graph([alone], "one_node", *values)
        made = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
        self.run = evaluate(made)

    def __deepcopy__(self, memo: dict[int, Any]) -> _Runs:
        return self

    def __call__(self, feeds: dict[str, Array]) -> list[Array]:
        return self.run(feeds)


def load_node(path: Path, name: str) -> Node:
    """The node of a file that has the name, or its only one where the name is empty. Raises TargetError."""
    try:
        model = onnx.load(path)
    except Exception as error:
        raise TargetError(f"{path} is no ONNX model: {type(error).__name__}: {error}") from error
    nodes = {node.name or node.output[0]: node for node in model.graph.node if node.op_type == OPERATOR}
    if not nodes:
        kinds = ", ".join(sorted({node.op_type for node in model.graph.node}))
        raise TargetError(f"{path} has no node {OPERATOR}: its nodes are {kinds}; export without folding it away")
    if name not in nodes and (name or len(nodes) > 1):
        asked = f"no node {name!r} of {OPERATOR}" if name else f"{len(nodes)} nodes {OPERATOR}"
        raise TargetError(f"{path} has {asked}: write {path.name}:NODE{suggest(name, nodes)}")
    node = nodes[name] if name else next(iter(nodes.values()))
    values = _find_values(model)
    missing = [n for n in node.input[1:5] if n not in values]
    if missing:
        raise TargetError(
            f"{', '.join(missing)} of the node are no values of the file but computed or fed: certify the operator"
            " instead, bnspec.adapters.onnxruntime:BatchNormalization"
        )
    state = {held: values[place].copy() for held, place in zip(STATE, node.input[1:5], strict=True)}
    return Node(model, node, state, _find_rank(model, node.input[0]))


def _find_values(model: onnx.ModelProto) -> dict[str, Array]:
    """Initializers and constants, by name."""
    found = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    for node in model.graph.node:
        for attribute in node.attribute if node.op_type == "Constant" else ():
            if attribute.name == "value":
                found[node.output[0]] = numpy_helper.to_array(attribute.t)
    return found


def _find_rank(model: onnx.ModelProto, name: str) -> int | None:
    """The rank of a value, where the file or the inference of its shapes tells it."""
    graph = onnx.shape_inference.infer_shapes(model).graph
    every: Iterable[onnx.ValueInfoProto] = (*graph.input, *graph.value_info)
    known = {v.name: v.type.tensor_type for v in every if v.type.tensor_type.HasField("shape")}
    return len(known[name].shape.dim) if name in known else None
