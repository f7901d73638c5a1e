"""Softmax and LayerNormalization that exporters and converters took to pieces, put together again.

As one node they have an integer form (``rows``). Means, differences and squares of a row span far
more than 8 bits hold each.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, patterns, rewire
from sub8.graph.rows import NORM


def whole_softmax(graph: ir.Graph) -> None:
    """Reshape(Softmax(Flatten(x)), Shape(x)) -> Softmax along the last axis: what ONNX's converter
    makes of Softmax before opset 13. Needs inferred shapes.
    """
    for node in patterns.standard_nodes(graph):
        x = _flattened(node) if node.op_type == "Softmax" else None
        back = None if x is None else patterns.only_user(node.outputs[0])
        if x is None or back is None or back.domain != "" or back.op_type != "Reshape":
            continue
        if _operands(back.inputs[1], "Shape") == (x,):
            rewire.replace(back, ir.node("Softmax", [x], {"axis": -1}))


def _flattened(softmax: ir.Node) -> ir.Value | None:
    """The tensor whose rows are flattened in front of a Softmax along them."""
    matrix = softmax.inputs[0]
    operands = _operands(matrix, "Flatten")
    if operands is None or matrix is None or patterns.attribute(softmax, "axis", -1) not in (-1, 1):
        return None
    flatten, axes = matrix.producer(), patterns.rank(operands[0])
    if flatten is None or axes is None:
        return None
    last = int(patterns.attribute(flatten, "axis", 1)) in (-1, axes - 1)
    return operands[0] if last else None


def fuse_layer_norms(graph: ir.Graph) -> None:
    """``(x - mean) / sqrt(mean((x - mean)**2) + epsilon) * gamma + beta`` along the last axis ->
    LayerNormalization. Needs inferred shapes.
    """
    for node in patterns.standard_nodes(graph):
        if node.op_type == "Sqrt":
            _fuse(graph, node)


def _fuse(graph: ir.Graph, deviation: ir.Node) -> None:
    spread = _operands(deviation.inputs[0], "Add")
    if spread is None:
        return
    found = _with_number(*spread)
    squares = None if found is None else _row_mean(found[0])
    centred = None if squares is None else _squared(squares)
    x = None if centred is None else _centred(centred)
    normal = None if centred is None else _divided(centred, deviation.outputs[0])
    if found is None or x is None or normal is None:
        return
    size = patterns.size(x, -1)
    if size is None:
        return
    last, gamma = by_channel(normal, "Mul", size)
    last, beta = by_channel(last, "Add", size)
    operands = [
        constants.add_initializer(graph, f"{last.outputs[0].name}.{name}", elements)
        for name, elements in (
            ("gamma", np.ones(size, np.float32) if gamma is None else gamma),
            ("beta", np.zeros(size, np.float32) if beta is None else beta),
        )
    ]
    attributes = {"axis": -1, "epsilon": found[1]}
    rewire.replace(last, ir.node(NORM, [x, *operands], attributes))


def _operands(value: ir.Value | None, op_type: str) -> tuple[ir.Value, ...] | None:
    """What the ``op_type`` that makes ``value`` reads."""
    node = None if value is None else value.producer()
    if node is None or node.domain != "" or node.op_type != op_type:
        return None
    found = tuple(operand for operand in node.inputs if operand is not None)
    return found if len(found) == len(node.inputs) else None


def _with_number(a: ir.Value, b: ir.Value) -> tuple[ir.Value, float] | None:
    """The operand of two that is computed, and the other one's number."""
    for value, other in ((a, b), (b, a)):
        elements = constants.array(other)
        if elements is not None and elements.size == 1 and not constants.is_constant(value):
            return value, float(elements.reshape(()))
    return None


def _row_mean(value: ir.Value) -> ir.Value | None:
    """What ``value`` is the mean of along the last axis, which is kept."""
    operands = _operands(value, "ReduceMean")
    node = value.producer()
    if operands is None or len(operands) != 2 or node is None:
        return None
    axes, rank = constants.integers(operands[1]), patterns.rank(operands[0])
    if axes is None or rank is None or not patterns.attribute(node, "keepdims", 1):
        return None
    return operands[0] if axes in ((-1,), (rank - 1,)) else None


def _squared(value: ir.Value) -> ir.Value | None:
    """What ``value`` is the square of."""
    product = _operands(value, "Mul")
    if product is not None and product[0] is product[1]:
        return product[0]
    power = _operands(value, "Pow")
    return power[0] if power is not None and constants.scalar(power[1]) == 2 else None


def _centred(value: ir.Value) -> ir.Value | None:
    """The rows of which ``value`` is the difference to their means."""
    difference = _operands(value, "Sub")
    if difference is None or not patterns.is_float(difference[0]):
        return None
    return difference[0] if _row_mean(difference[1]) is difference[0] else None


def _divided(centred: ir.Value, deviation: ir.Value) -> ir.Node | None:
    """The node that divides the centred rows by their deviation, which nothing else reads."""
    user = patterns.only_user(deviation)
    if user is None or user.domain != "":
        return None
    if user.op_type == "Div" and user.inputs[1] is deviation:
        if constants.scalar(user.inputs[0]) != 1:
            return user if _are_same(user.inputs[0], centred) else None
    elif user.op_type != "Reciprocal":
        return None
    inverse = user.outputs[0]
    product = patterns.only_user(inverse)
    if product is None or product.domain != "" or product.op_type != "Mul":
        return None
    return product if _are_same(patterns.other_operand(product, inverse), centred) else None


def _are_same(value: ir.Value | None, centred: ir.Value) -> bool:
    """Whether ``value`` is ``centred``, or the same difference computed once more."""
    if value is centred:
        return True
    rows = _centred(centred)
    return value is not None and rows is not None and _centred(value) is rows


def by_channel(
    node: ir.Node, op_type: str, size: int
) -> tuple[ir.Node, NDArray[np.float32] | None]:
    """The node behind ``node`` that alone reads it and combines it with ``size`` numbers along the
    last axis, and these; ``node`` itself and None where there is no such.
    """
    value = node.outputs[0]
    user = patterns.only_user(value)
    if user is None or user.domain != "" or user.op_type != op_type:
        return node, None
    elements = constants.array(patterns.other_operand(user, value))
    rank = patterns.rank(value)
    if elements is None or elements.dtype != np.float32 or rank is None:
        return node, None
    if elements.shape[-1:] != (size,) or elements.size != size or elements.ndim > rank:
        return node, None
    return user, elements.reshape(size)
