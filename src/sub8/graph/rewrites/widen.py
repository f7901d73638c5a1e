"""Models in half precision, read as float32."""

import numpy as np
import onnx_ir as ir

HALVES = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})
# Attributes that name the type of a result.
_TYPE_ATTRIBUTES = ("to", "dtype", "output_dtype")


def widen_halves(model: ir.Model) -> None:
    """Let a model whose tensors are float16 or bfloat16 compute in float32, in place.

    Weights keep their values, which float32 holds exactly. Inputs and outputs of the model keep
    their types, by a Cast behind or before them. Results that go through fewer roundings are closer
    to what the network was trained to give.
    """
    if not any(map(_has_halves, model.graphs())):
        return
    for graph in model.graphs():
        for value in graph.initializers.values():
            if value.const_value is not None and value.const_value.dtype in HALVES:
                value.const_value = _widened(value.const_value)
                value.dtype = ir.DataType.FLOAT
        for node in graph:
            if not _ends_in_half(node):
                _widen_node(node)
            for value in node.outputs:
                if value.dtype in HALVES and not value.is_graph_output():
                    value.type = None
        if graph is not model.graph:
            for value in (*graph.inputs, *graph.outputs):
                if value.dtype in HALVES:
                    value.dtype = ir.DataType.FLOAT
    _cast_ends(model.graph)


def _has_halves(graph: ir.Graph) -> bool:
    tensors = (value.const_value for value in graph.initializers.values())
    return (
        any(value.dtype in HALVES for value in (*graph.inputs, *graph.outputs))
        or any(tensor is not None and tensor.dtype in HALVES for tensor in tensors)
        or any(_names_half(attr) for node in graph for attr in node.attributes.values())
    )


def _names_half(attribute: ir.Attr) -> bool:
    if attribute.type == ir.AttributeType.TENSOR:
        return attribute.value.dtype in HALVES
    is_type = attribute.name in _TYPE_ATTRIBUTES and attribute.type == ir.AttributeType.INT
    return is_type and attribute.value in map(int, HALVES)


def _ends_in_half(node: ir.Node) -> bool:
    """Whether it gives the graph's result its type, as the Cast that ``_cast_ends`` adds."""
    return (
        node.op_type == "Cast"
        and node.domain == ""
        and node.outputs[0].is_graph_output()
        and not node.outputs[0].uses()
    )


def _widen_node(node: ir.Node) -> None:
    for attribute in list(node.attributes.values()):
        if not _names_half(attribute):
            continue
        if attribute.type == ir.AttributeType.TENSOR:
            node.attributes[attribute.name] = ir.AttrTensor(
                attribute.name, _widened(attribute.value)
            )
        else:
            node.attributes[attribute.name] = ir.AttrInt64(attribute.name, int(ir.DataType.FLOAT))


def _widened(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(tensor.numpy().astype(np.float32), name=tensor.name)


def _cast_ends(graph: ir.Graph) -> None:
    for value in graph.inputs:
        casts = [use.node for use in value.uses() if use.node.op_type == "Cast"]
        if value.dtype in HALVES and (len(casts) < len(value.uses()) or value.is_graph_output()):
            wide = _cast(value, ir.DataType.FLOAT)
            uses = [use for use in value.uses() if use.node is not wide]
            for use in uses:
                use.node.replace_input_with(use.idx, wide.outputs[0])
            _insert_first(graph, wide)
    for index, value in enumerate(graph.outputs):
        node = value.producer()
        if value.dtype not in HALVES or node is None or _ends_in_half(node):
            continue
        kind, name = value.dtype, value.name
        value.name = f"{name}.float32"
        narrow = _cast(value, kind)
        result = narrow.outputs[0]
        result.name, result.shape, result.dtype = name, value.shape, kind
        value.type = None
        graph.outputs[index] = result
        graph.append(narrow)


def _cast(value: ir.Value, kind: ir.DataType) -> ir.Node:
    node = ir.node("Cast", [value], {"to": int(kind)}, name=f"{value.name}.cast")
    node.outputs[0].name = f"{value.name}.{kind.name.lower()}"
    return node


def _insert_first(graph: ir.Graph, node: ir.Node) -> None:
    if len(graph):
        graph.insert_before(graph[0], node)
    else:
        graph.append(node)
