"""Nodes that raise where ONNX Runtime's own would end the process, or never end.

Its Loop, LSTM, GRU and Conv read elements, or step by sizes, of an operand that has none (ONNX
Runtime 1.32), and its Div of integers lets the processor trap on the least number by -1. Such an
operand goes through an Expand to no sizes, which leaves it as it is, and whose sizes a Gather takes
from a place that exists only where all is well.
"""

import numpy as np
import onnx
import onnx_ir as ir

from sub8.errors import InputError
from sub8.graph import constants
from sub8.graph.check import graphs_of
from sub8.graph.naming import node_name
from sub8.graph.new_nodes import Writer
from sub8.graph.quantization import QDQ
from sub8.graph.rewrites.inlining import inline_functions

# The operands that must not be empty.
_READ = {"Loop": (0, 1), "LSTM": (0,), "GRU": (0,), "Conv": (1,)}
_TRAPS: dict[ir.DataType | None, type[np.signedinteger]] = {
    ir.DataType.INT32: np.int32, ir.DataType.INT64: np.int64
}  # fmt: skip
_GUARDED = "sub8.guarded"  # of a model's ``meta``

Types = dict[str, onnx.TypeProto.Tensor]


def guarded(model: ir.Model, inferred: onnx.ModelProto) -> ir.Model:
    """The model, or where it needs guards one that has them, and in which the functions are inlined
    that hold such nodes. inferred: the model with types and shapes, as ONNX infers them.

    Raises InputError where an operand is known to be empty.
    """
    types = _types(inferred)
    whole = model
    if any(_reads(function) for function in model.functions.values()):
        whole = model.clone()
        inline_functions(whole, _reads)
    doubts = [
        (node, place)
        for node in whole.graph.all_nodes()
        for place in range(len(node.inputs))
        if _is_doubtful(node, place, types)
    ]
    if not doubts:
        return model
    writer = Writer(whole.graph)
    for node, place in doubts:
        _guard(node, place, types, writer)
    whole.meta[_GUARDED] = True
    return whole


def is_guarded(model: ir.Model) -> bool:
    """Whether the model has guards that its file has not."""
    return bool(model.meta.get(_GUARDED))


def _reads(function: ir.Function) -> bool:
    return any(node.op_type in _READ for node in function.all_nodes())


def _types(inferred: onnx.ModelProto) -> Types:
    """The types of all tensors, those of inner graphs included."""
    return {
        value.name: value.type.tensor_type
        for graph in graphs_of(inferred.graph)
        for value in (*graph.input, *graph.value_info, *graph.output)
        if value.type.HasField("tensor_type")
    }


def _is_doubtful(node: ir.Node, place: int, types: Types) -> bool:
    """Whether the operand needs a guard; InputError where it is known to be empty."""
    operand = node.inputs[place]
    if operand is None or node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type == "Div" and place == 1:
        known = constants.array(operand)
        return _type(operand, types) in _TRAPS and (known is None or bool((known == -1).any()))
    if place not in _READ.get(node.op_type, ()):
        return False
    sizes = _sizes(operand, types)
    if sizes is not None and 0 in sizes:
        raise InputError(
            f"node {node_name(node)!r} ({node.op_type}): its input {operand.name!r} is empty"
        )
    return sizes is None or None in sizes


def _type(value: ir.Value, types: Types) -> ir.DataType | None:
    if constants.is_constant(value) or value.name not in types:
        return value.dtype
    return ir.DataType(types[value.name].elem_type)


def _sizes(value: ir.Value, types: Types) -> list[int | None] | None:
    """The sizes, None for those that are open; None where not even their number is known."""
    if value.const_value is not None:
        return list(value.const_value.shape.numpy())
    found = types.get(str(value.name))
    if found is None or not found.HasField("shape"):
        producer = value.producer()  # of another domain, about which ONNX infers nothing
        if producer is None or producer.op_type not in QDQ or producer.inputs[0] is None:
            return None
        return _sizes(producer.inputs[0], types)
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in found.shape.dim]


def _guard(node: ir.Node, place: int, types: Types, writer: Writer) -> None:
    operand = node.inputs[place]
    assert operand is not None
    kind = _TRAPS.get(_type(operand, types)) if node.op_type == "Div" else None
    if kind is not None:
        bad = _trapping(node, kind, writer)
        rule = "must_not_overflow"
    else:
        size = writer.before(node, "Size", [operand], "size")
        bad = writer.before(node, "Equal", [size, writer.constant(np.int64(0))], "no_size")
        rule = f"input_{place}_must_not_be_empty"
    index = writer.before(node, "Cast", [bad], "bad", to=ir.DataType.INT64.value)
    sizes = writer.before(
        node, "Gather", [writer.constant(np.empty((1, 0), np.int64)), index], rule
    )
    node.replace_input_with(place, writer.before(node, "Expand", [operand, sizes], "guarded"))


def _trapping(node: ir.Node, kind: type[np.signedinteger], writer: Writer) -> ir.Value:
    """Whether a Div of integers takes the least number by -1 anywhere."""
    above, below = node.inputs
    assert above is not None and below is not None
    least = writer.before(
        node, "Equal", [above, writer.constant(kind(np.iinfo(kind).min))], "least"
    )
    negative = writer.before(node, "Equal", [below, writer.constant(kind(-1))], "negative")
    both = writer.before(node, "And", [least, negative], "both")
    counted = writer.before(node, "Cast", [both], "counted", to=ir.DataType.INT64.value)
    many = writer.before(node, "ReduceSum", [counted], "sum", keepdims=0)
    return writer.before(node, "Greater", [many, writer.constant(np.int64(0))], "any")
