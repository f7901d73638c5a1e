"""Cut float nodes out of a model as a model of their own."""

from collections.abc import Sequence

import onnx_ir as ir
import onnx_ir.passes.common as passes


def extract(model: ir.Model, inputs: Sequence[str], outputs: Sequence[str]) -> bytes:
    """The nodes between tensors ``inputs`` and tensors ``outputs``, serialised; sizes are left
    open.

    The types of ``inputs`` must be known.
    """
    graph = ir.convenience.extract(model.graph, inputs=list(inputs), outputs=list(outputs))
    for value in graph.inputs:
        value.shape = None
    for node in graph:
        for value in node.outputs:
            value.shape = None
    part = ir.Model(
        graph, ir_version=model.ir_version, functions=[f.clone() for f in model.functions.values()]
    )
    passes.RemoveUnusedFunctionsPass()(part)
    return ir.to_proto(part).SerializeToString()
