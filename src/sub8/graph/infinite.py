"""Tensors that hold infinities on purpose, as attention masks and padding before a maximum do; they
have no 8-bit form.
"""

import numpy as np
import onnx_ir as ir

from sub8.graph import constants

# Operators whose results are finite, or meant to be, whatever infinities they read.
_FINITE = frozenset({
    "Softmax", "Exp", "Sigmoid", "HardSigmoid", "Tanh", "Erf", "Atan", "Softsign", "Relu", "Clip",
    "Max", "Min",
    "MaxPool", "GlobalMaxPool", "ReduceMax", "ReduceMin", "ReduceLogSumExp", "IsInf", "ArgMax",
    "ArgMin",
})  # fmt: skip


def infinite(graph: ir.Graph) -> set[ir.Value]:
    """The results that may be infinite because a constant that they are made of is."""
    found: set[ir.Value] = set()
    for value in graph.initializers.values():
        elements = constants.array(value)
        if elements is not None and elements.dtype.kind == "f" and np.isinf(elements).any():
            found.add(value)
    results: set[ir.Value] = set()
    for node in graph:
        if node.op_type in _FINITE or found.isdisjoint(node.inputs):
            continue
        found.update(node.outputs)
        results.update(node.outputs)
    return results
