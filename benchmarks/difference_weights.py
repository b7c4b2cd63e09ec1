"""A purely local ONNX network of our own: probability from the mean absolute difference of both
dates. For tests and benchmarks in which only the pipeline counts; it finds everything that changed
its colour, so the number of footprints is large."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from hanet.metadata import Metadata
from hanet.weights.export import with_metadata


def write_difference_weights(
    path: Path,
    *,
    radius: int = 1,
    middle: float = 50.0,
    tells_direction: bool = False,
    **metadata: Any,
) -> Path:
    """Writes the network.

    Args:
        path: The .onnx file.
        radius: A pixel sees this many around it.
        middle: Mean difference in 0-255 that gives a probability of a half.
        tells_direction: Give a second output: what became brighter was built, what became darker
            demolished.
        metadata: Further fields of :class:`hanet.metadata.Metadata`.
    """
    side = 2 * radius + 1
    weights = np.full((1, 3, side, side), 1 / (3 * side * side), dtype=np.float32)
    constants = {"weights": weights, "middle": np.float32(middle), "slope": np.float32(0.1)}
    nodes = [
        helper.make_node("Sub", ["after", "before"], ["difference"]),
        helper.make_node("Abs", ["difference"], ["size"]),
        helper.make_node("Conv", ["size", "weights"], ["mean"], pads=[radius] * 4),
        helper.make_node("Sub", ["mean", "middle"], ["centred"]),
        helper.make_node("Mul", ["centred", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]
    inputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 3, "h", "w"])
        for n in ("before", "after")
    ]
    names = ["probability"]
    if tells_direction:
        names.append("built")
        nodes += [
            helper.make_node("Conv", ["difference", "weights"], ["signed"], pads=[radius] * 4),
            helper.make_node("Mul", ["signed", "slope"], ["signed_logit"]),
            helper.make_node("Sigmoid", ["signed_logit"], ["built"]),
        ]
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["b", 1, "h", "w"]) for n in names
    ]
    stored = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "difference", inputs, outputs, stored)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    about = Metadata(
        name="difference", model="difference", divisor=1, licence="Apache-2.0", **metadata
    )
    path.write_bytes(with_metadata(model.SerializeToString(), about))
    return path
