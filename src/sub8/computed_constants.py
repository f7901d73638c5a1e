"""The values of a graph that do not depend on its inputs, computed by ONNX Runtime."""

from collections.abc import Iterable
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from sub8.oracle import OnnxRuntime


def constant_values(model: ir.Model, names: Iterable[str]) -> dict[str, NDArray[Any]]:
    """The values of constant tensors by name: initialisers, or nodes fed by initialisers alone."""
    wanted = set(names)
    values = {
        name: value.const_value.numpy()
        for name, value in model.graph.initializers.items()
        if name in wanted and value.const_value is not None
    }
    computed = [
        output.name
        for node in model.graph
        for output in node.outputs
        if output.name is not None and output.name in wanted
    ]
    if not computed:
        return values
    graph = ir.convenience.extract(model.graph, inputs=[], outputs=computed)
    part = ir.Model(graph, ir_version=model.ir_version, functions=list(model.functions.values()))
    runtime = OnnxRuntime(ir.to_proto(part).SerializeToString(), optimise=False)
    values.update(runtime.run_all({}))
    return values
