"""Remove nodes that change nothing."""

import numpy as np
import onnx_ir as ir

from sub8.graph import constants, patterns, rewire


def remove_no_ops(graph: ir.Graph) -> None:
    """Remove Identity, inference-mode Dropout, Cast to the type that a tensor already has, and
    products with one and quotients by it, which Quark writes behind means.

    Every output of the graph keeps its own name: where one would be left without a node of its own
    (a copy of an input, a constant or another output), the node stays.
    """
    for node in list(graph):
        if node.domain != "" or not node.inputs or node.inputs[0] is None:
            continue
        x = node.inputs[0]
        removable = node.op_type == "Identity"
        if node.op_type == "Dropout":
            training = len(node.inputs) > 2 and node.inputs[2] is not None
            on = training and bool(np.any(constants.array(node.inputs[2]) != False))  # noqa: E712 - or None
            mask = any(patterns.is_read(value) for value in node.outputs[1:])
            removable = not on and not mask
        elif node.op_type == "Cast":
            removable = x.dtype is not None and patterns.attribute(node, "to", 0) == int(x.dtype)
        elif node.op_type in ("Mul", "Div"):
            one = constants.array(node.inputs[1])
            removable = one is not None and one.ndim == 0 and one == 1
        if removable:
            rewire.bypass(node, x)
