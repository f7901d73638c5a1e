"""Why nodes run in float."""

from collections.abc import Iterable

import onnx_ir as ir

from sub8.graph import patterns

# What may stand in an integer group.
_INTEGER = (
    patterns.ELEMENTWISE
    | patterns.MOVES
    | patterns.MEANS
    | {"Conv", "Gemm", "MatMul", "MaxPool", "GlobalMaxPool", "Flatten", "Squeeze", "Unsqueeze",
       "Identity", "ReduceMean", "QuantizeLinear", "DequantizeLinear"}
)  # fmt: skip


def why_float(nodes: Iterable[ir.Node]) -> str:
    """What makes an island of nodes: operators without an integer form, or that none is needed."""
    without = dict.fromkeys(
        node.op_type for node in nodes if node.domain != "" or node.op_type not in _INTEGER
    )
    if without:
        have = "has" if len(without) == 1 else "have"
        return f"{', '.join(sorted(without))} {have} no integer form"
    return "kept in float: named in the recipe, behind the last layers, or in a form that has none"
