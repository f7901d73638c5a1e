"""Shapes that a graph computes, as far as they are known.

PyTorch's exporter writes ``expand`` as Where(Equal(sizes, -1), ones, sizes), behind which ONNX's
inference knows nothing any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import onnx_ir as ir

from sub8.graph import constants, patterns, rewire

_LONGEST = 64  # vectors; shapes have no more axes
_DEEPEST = 32  # nodes


@dataclass(frozen=True)
class _Open:
    """An open size, and the vector of one element that holds it, where there is one."""

    held: ir.Value | None


_Element: TypeAlias = int | _Open


def simplify_sizes(graph: ir.Graph) -> bool:
    """Put constants in the place of computed vectors whose elements are all known, and what the
    choice leaves in the place of a Where that decides by sizes; whether anything changed, in place.
    Needs inferred shapes.
    """
    changed = False
    for node in patterns.standard_nodes(graph):
        value = node.outputs[0] if node.outputs else None
        if value is None or value.dtype != ir.DataType.INT64 or not node.inputs:
            continue
        axes = patterns.rank(value)
        if value.is_graph_output() or axes not in (0, 1) or constants.is_constant(value):
            continue
        elements = _elements(value, _DEEPEST)
        if elements is None:
            continue
        whole = [element for element in elements if isinstance(element, int)]
        if len(whole) == len(elements):
            known = np.array(whole, np.int64).reshape((-1,) * (axes or 0))
            stored = constants.add_initializer(graph, f"{value.name}.known", known)
            changed |= rewire.bypass(node, stored)
        elif node.op_type == "Where":
            changed |= _as_concat(graph, node, elements)
    return changed


def _as_concat(graph: ir.Graph, node: ir.Node, elements: Sequence[_Element]) -> bool:
    parts: list[ir.Value] = []
    for place, element in enumerate(elements):
        if isinstance(element, int):
            name = f"{node.outputs[0].name}.{place}"
            parts.append(constants.add_initializer(graph, name, np.array([element], np.int64)))
        elif element.held is not None:
            parts.append(element.held)
    if len(parts) != len(elements):
        return False
    rewire.replace(node, ir.node("Concat", parts, {"axis": 0}))
    return True


def _elements(value: ir.Value | None, depth: int) -> list[_Element] | None:
    """Of a vector of sizes, or of a number without axes; None where they are not known to be
    such.
    """
    found = constants.integers(value)
    if found is not None:
        return list(found) if len(found) <= _LONGEST else None
    node = None if value is None else value.producer()
    if node is None or node.domain != "" or depth == 0:
        return None
    first = None if node.op_type == "Shape" else _elements(node.inputs[0], depth - 1)
    if node.op_type == "Shape":
        sizes = patterns.sizes(node.inputs[0])
        if sizes is None:
            return None
        part = slice(patterns.attribute(node, "start", 0), patterns.attribute(node, "end", None))
        return [size if isinstance(size, int) else _Open(None) for size in sizes][part]
    if node.op_type == "Concat":
        parts = [_elements(part, depth - 1) for part in node.inputs]
        if any(part is None for part in parts):
            return None
        return [element for part in parts for element in part or ()]
    if node.op_type == "Where":
        return _chosen(node, depth)
    if first is None:
        return None
    if node.op_type in ("Identity", "Cast", "Reshape", "Unsqueeze", "Squeeze"):
        axes = patterns.rank(value)
        if node.op_type == "Cast" and patterns.attribute(node, "to", 0) != ir.DataType.INT64:
            return None
        return _held(first, value) if axes is not None and axes <= 1 else None
    if node.op_type == "Gather":
        index = constants.integers(node.inputs[1])
        if index is None or any(not -len(first) <= place < len(first) for place in index):
            return None
        return _held([first[place] for place in index], value)
    if node.op_type == "Slice":
        return _sliced(node, first, value)
    return None


def _held(elements: list[_Element], value: ir.Value | None) -> list[_Element]:
    """With ``value`` as what holds the one element, where it is a vector."""
    if len(elements) == 1 and isinstance(elements[0], _Open) and patterns.rank(value) == 1:
        return [_Open(value)]
    return elements


def _sliced(
    node: ir.Node, elements: list[_Element], value: ir.Value | None
) -> list[_Element] | None:
    operands = [constants.integers(operand) for operand in node.inputs[1:]]
    if any(operand is None or len(operand) != 1 for operand in operands):
        return None
    start, end, _, step = ([operand[0] for operand in operands if operand] + [0, 1])[:4]
    if len(operands) < 4:
        step = 1
    return _held(elements[start:end:step], value)


def _chosen(node: ir.Node, depth: int) -> list[_Element] | None:
    """Of Where(Equal(a, b), c, d), where a size, which is never negative, decides."""
    equal = None if node.inputs[0] is None else node.inputs[0].producer()
    if equal is None or equal.domain != "" or equal.op_type != "Equal":
        return None
    operands = [_elements(x, depth - 1) for x in (*equal.inputs, *node.inputs[1:])]
    length = (
        max(len(operand) for operand in operands if operand is not None)
        if all(operand is not None for operand in operands)
        else 0
    )
    found: list[_Element] = []
    for place in range(length):
        a, b, c, d = (operand[place if len(operand) > 1 else 0] for operand in operands if operand)
        if isinstance(a, int) and isinstance(b, int):
            found.append(c if a == b else d)
        elif (isinstance(a, int) and a < 0) or (isinstance(b, int) and b < 0):
            found.append(d)
        else:
            return None
    return found or None
