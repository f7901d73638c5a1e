"""What makes a model valid: what ONNX's own checker and shape inference say, as far as ONNX Runtime
follows them.
"""

import onnx
import onnx_ir as ir

from sub8.graph import onnx_calls

_LARGE = 1 << 10  # bytes of an initializer whose elements no check looks at
_UNCHECKED = "unchecked"  # a domain that the checker does not know


def without_elements(model: ir.Model) -> ir.Model:
    """A copy for ONNX's C++ functions, which copy every weight: large initializers are inputs
    there.
    """
    model = model.clone()
    graph = model.graph
    for name, value in list(graph.initializers.items()):
        tensor = value.const_value
        if tensor is None or tensor.nbytes <= _LARGE:
            continue
        value.shape, value.dtype = ir.Shape(tensor.shape.numpy()), tensor.dtype
        value.const_value = None
        graph.initializers.pop(name)
        if not value.is_graph_input():
            graph.inputs.append(value)
    return model


def check_model(model: ir.Model) -> None:
    """Raise ValueError where a sorted model is not valid, InputError where ONNX's own code ends
    abruptly on it.

    What the file claims about the shapes of results is not held against it: it may be stale or
    absent."""
    model = without_elements(model)
    for graph in model.graphs():
        for node in graph:
            for value in node.outputs:
                value.shape = None
                if not value.is_graph_output():
                    value.type = None
    proto = ir.to_proto(model)
    onnx_calls.infer_shapes(proto, check_type=True, strict_mode=True)
    for value in [*proto.graph.input, *proto.graph.output]:
        if value.type.HasField("tensor_type"):
            value.type.tensor_type.shape.SetInParent()  # the checker wants one
    _hide_deprecated(proto)
    onnx_calls.check_model(proto)


def _hide_deprecated(proto: onnx.ModelProto) -> None:
    """Leave operators that the file's opset deprecates to the runtime: the checker refuses them
    unseen.
    """
    version = max((e.version for e in proto.opset_import if e.domain in ("", "ai.onnx")), default=0)
    for node in proto.graph.node:
        if node.domain not in ("", "ai.onnx"):
            continue
        try:
            deprecated = onnx.defs.get_schema(node.op_type, version).deprecated
        except onnx.defs.SchemaError:
            continue
        if deprecated:
            node.domain = _UNCHECKED
    proto.opset_import.append(onnx.helper.make_opsetid(_UNCHECKED, 1))
