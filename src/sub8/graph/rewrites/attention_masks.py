"""Masks that are added behind a Reshape between attention's product and its Softmax, as networks of
windows do: the Reshapes go to the ends, so that the Softmax takes the mask as its addend.
"""

import numpy as np
import onnx_ir as ir

from sub8.graph import constants, patterns, rewire
from sub8.graph.new_nodes import shaped


def normalise_attention_masks(graph: ir.Graph) -> None:
    """``Softmax(Reshape(Reshape(a @ b * f + c) + mask))``, where the inner Reshape splits the first
    axis and the outer one keeps rows, is ``Reshape(Softmax(Reshape(a) @ Reshape(b) * f + (c +
    mask)))``, f being a number; in place. Needs inferred shapes.
    """
    for node in patterns.standard_nodes(graph):
        if node.op_type == "Softmax" and _over_rows(node):
            _split_operands(graph, _before_reshape(node))


def _over_rows(softmax: ir.Node) -> bool:
    axes = patterns.rank(softmax.inputs[0])
    return axes is not None and patterns.attribute(softmax, "axis", -1) in (-1, axes - 1)


def _before_reshape(softmax: ir.Node) -> ir.Node:
    """The Softmax, moved before a Reshape that keeps rows, of a sum with a constant."""
    reshape = _source(softmax.inputs[0], "Reshape")
    x = None if reshape is None else reshape.inputs[0]
    before, after = patterns.sizes(x), patterns.sizes(softmax.inputs[0])
    if reshape is None or x is None or x.shape is None or not before or not after:
        return softmax
    if _added(x) is None or before[-1] != after[-1] or not isinstance(after[-1], int):
        return softmax
    moved = shaped(ir.node("Softmax", [x], {"axis": -1}), x, x.shape)
    rewire.replace(softmax, moved, ir.node("Reshape", [moved.outputs[0], reshape.inputs[1]]))
    assert reshape.graph is not None
    reshape.graph.remove(reshape, safe=True)
    return moved


def _split_operands(graph: ir.Graph, softmax: ir.Node) -> None:
    masked = _added(softmax.inputs[0])
    split = None if masked is None else _source(masked[0], "Reshape")
    if masked is None or split is None or split.inputs[0] is None:
        return
    scores, mask = split.inputs[0], masked[1]
    added = _added(scores)
    if added is not None:
        other = constants.array(added[1])
        assert other is not None
        if other.ndim > 3 and other.shape[0] != 1:  # of every element of the axis that is split
            return
    scores = scores if added is None else added[0]
    factor = _factor(scores)
    product = _source(scores if factor is None else factor[0], "MatMul")
    before, after = patterns.sizes(split.inputs[0]), patterns.sizes(split.outputs[0])
    if product is None or not patterns.is_product(product) or before is None or after is None:
        return
    if len(before) != 4 or after[2:] != before[1:] or not isinstance(after[1], int):
        return
    shapes = [patterns.sizes(operand) for operand in product.inputs]
    if any(
        shape is None or len(shape) != 4 or shape[0] != before[0]
        or not all(isinstance(size, int) for size in shape[1:]) for shape in shapes
    ):  # fmt: skip
        return
    result, addend = split.outputs[0], constants.array(mask)
    assert result.shape is not None and addend is not None
    for index, operand in enumerate(product.inputs):
        assert operand is not None and operand.shape is not None
        sizes = [*result.shape[:2], *operand.shape[1:]]
        target = [-1, *(size for size in sizes[1:] if isinstance(size, int))]
        shape = constants.add_initializer(
            graph, f"{product.name}.split", np.array(target, np.int64)
        )
        reshape = shaped(ir.node("Reshape", [operand, shape]), operand, sizes)
        graph.insert_before(product, reshape)
        product.replace_input_with(index, reshape.outputs[0])
    product.outputs[0].shape = result.shape
    if added is not None:
        addend = addend + constants.array(added[1])
    total = constants.add_initializer(graph, f"{softmax.outputs[0].name}.mask", addend)
    value = product.outputs[0]
    if factor is not None:
        scaled = shaped(ir.node("Mul", [value, factor[1]]), result, result.shape)
        graph.insert_before(softmax, scaled)
        value = scaled.outputs[0]
    summed = shaped(ir.node("Add", [value, total]), result, result.shape)
    graph.insert_before(softmax, summed)
    softmax.replace_input_with(0, summed.outputs[0])


def _source(value: ir.Value | None, op_type: str) -> ir.Node | None:
    """The node that makes ``value`` for one reader alone."""
    node = None if value is None or patterns.only_user(value) is None else value.producer()
    return node if node is not None and node.domain == "" and node.op_type == op_type else None


def _factor(value: ir.Value) -> tuple[ir.Value, ir.Value] | None:
    """The activation and the number whose product ``value`` is, for one reader."""
    node = _source(value, "Mul")
    if node is None:
        return None
    for number, other in (node.inputs, reversed(node.inputs)):
        if number is not None and other is not None and constants.scalar(number) is not None:
            return other, number
    return None


def _added(value: ir.Value | None) -> tuple[ir.Value, ir.Value] | None:
    """The activation and the finite float32 constant whose sum ``value`` is, for one reader."""
    node = _source(value, "Add")
    if node is None:
        return None
    for place in (0, 1):
        constant, other = node.inputs[place], node.inputs[1 - place]
        elements = constants.array(constant)
        if constant is None or other is None or elements is None or constants.is_constant(other):
            continue
        if elements.dtype == np.float32 and np.isfinite(elements).all():
            return other, constant
    return None
