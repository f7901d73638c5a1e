"""Constants of an ONNX graph as NumPy arrays, and new ones as initializers."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph.naming import unused_name


def is_constant(value: ir.Value | None) -> bool:
    """Whether ``value`` is an initializer that no caller can override."""
    return value is not None and value.const_value is not None and not value.is_graph_input()


def follows_from_constants(value: ir.Value | None) -> bool:
    """Whether a value is computed from constants alone; an absent one is."""
    pending, seen = [value], set()
    while pending:
        current = pending.pop()
        if current is None or is_constant(current) or current in seen:
            continue
        seen.add(current)
        producer = current.producer()
        if producer is None or _has_branches(producer):
            return False
        if not (producer.inputs or producer.op_type == "Constant"):
            return False
        pending.extend(producer.inputs)
    return True


def computed_values(graph: ir.Graph) -> set[ir.Value]:
    """All values of a sorted graph, its inputs among them, that do not follow from constants."""
    found = set(graph.inputs)
    for node in graph:
        no_constant = not (node.inputs or node.op_type == "Constant")
        if no_constant or _has_branches(node) or any(value in found for value in node.inputs):
            found.update(node.outputs)
    return found


def _has_branches(node: ir.Node) -> bool:
    """Whether the node may read more than its inputs."""
    kinds = (ir.AttributeType.GRAPH, ir.AttributeType.GRAPHS)
    return any(attribute.type in kinds for attribute in node.attributes.values())


def array(value: ir.Value | None) -> NDArray | None:
    """The constant's elements, or None where ``value`` is absent or not constant."""
    if value is None or value.const_value is None or value.is_graph_input():
        return None
    return value.const_value.numpy()


def scalar(value: ir.Value | None) -> float | None:
    """The single element of a constant of at most one axis, else None."""
    elements = array(value)
    if elements is None or elements.size != 1 or elements.ndim > 1:
        return None
    return float(elements.reshape(()))


def integers(value: ir.Value | None) -> tuple[int, ...] | None:
    """A constant of shapes, axes or pads as plain integers, else None."""
    elements = array(value)
    if elements is None or elements.dtype.kind not in "iu":
        return None
    return tuple(int(element) for element in elements.reshape(-1))


def add_initializer(
    graph: ir.Graph, name: str, elements: NDArray, dtype: ir.DataType | None = None
) -> ir.Value:
    """Register ``elements`` in ``graph`` under ``name`` or, where that is taken, a name made from
    it.
    """
    unique = unused_name(name, graph.initializers)
    tensor = ir.tensor(np.asarray(elements, order="C"), dtype=dtype, name=unique)
    value = ir.Value(
        name=unique,
        shape=ir.Shape(elements.shape),
        type=ir.TensorType(tensor.dtype),
        const_value=tensor,
    )
    graph.register_initializer(value)
    return value
