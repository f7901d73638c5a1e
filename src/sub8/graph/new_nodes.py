"""New nodes and constants in a graph that is being rewritten."""

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants
from sub8.graph.naming import unused_name


def shaped(node: ir.Node, like: ir.Value, sizes: Iterable[int | ir.SymbolicDim]) -> ir.Node:
    """The node, with the type and the sizes of its result."""
    node.outputs[0].type, node.outputs[0].shape = like.type, ir.Shape(sizes)
    return node


def part(graph: ir.Graph, x: ir.Value, axis: int, begin: int, end: int, name: str) -> ir.Node:
    """The Slice of ``x``, whose shape is known, from ``begin`` to ``end``; ``name``: of what its
    constants belong to.
    """
    assert x.shape is not None
    operands = [
        constants.add_initializer(graph, f"{name}.{what}", np.array([value], np.int64))
        for what, value in (("start", begin), ("end", end), ("axis", axis))
    ]
    sizes = (*x.shape[:axis], end - begin, *x.shape[axis + 1 :])
    return shaped(ir.node("Slice", [x, *operands]), x, sizes)


class Writer:
    """Adds to ``graph``; names are unique, and equal constants are stored once."""

    def __init__(self, graph: ir.Graph):
        self.graph = graph
        self._taken = {str(value.name) for value in (*graph.inputs, *graph.initializers.values())}
        self._taken |= {str(value.name) for node in graph.all_nodes() for value in node.outputs}
        self._constants: dict[tuple[object, ...], ir.Value] = {}

    def before(
        self, node: ir.Node, op: str, inputs: list[ir.Value], name: str, **attributes: int
    ) -> ir.Value:
        """The output of a new node in front of ``node``, called after that one's output."""
        new = ir.node(op, inputs, attributes)
        new.name = new.outputs[0].name = self.unique(f"{node.outputs[0].name}.{name}")
        inside = node.graph
        assert inside is not None
        inside.insert_before(node, new)
        return new.outputs[0]

    def sizes(self, *sizes: int) -> ir.Value:
        """A shape, or axes."""
        return self.constant(np.array(sizes, np.int64))

    def constant(self, elements: NDArray | np.generic, name: str | None = None) -> ir.Value:
        """A constant; without a name one that the whole graph shares."""
        elements = np.asarray(elements)
        if name is not None:
            return constants.add_initializer(self.graph, self.unique(name), elements)
        key = elements.dtype, elements.shape, elements.tobytes()
        if key not in self._constants:
            name = self.unique(f"sub8.constant.{len(self._constants)}")
            self._constants[key] = constants.add_initializer(self.graph, name, elements)
        return self._constants[key]

    def unique(self, name: str) -> str:
        """``name``, or one made from it that nothing has."""
        unique = unused_name(name, self._taken)
        self._taken.add(unique)
        return unique
