"""Nodes that take the place of another one, each written in a line."""

from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, rewire


class InPlaceOf:
    """What ``node`` is to be replaced by: nodes that are applied in order, the last one's result in
    the place of its own. Shapes are left to inference.
    """

    def __init__(self, node: ir.Node):
        assert node.graph is not None
        self._node, self._graph = node, node.graph
        self._nodes: list[ir.Node] = []

    def apply(self, op_type: str, *inputs: ir.Value | None, **attributes: Any) -> ir.Value:
        """The result of a new node, of the type that ``node`` gives."""
        node = ir.node(op_type, list(inputs), attributes)
        node.outputs[0].type = self._node.outputs[0].type
        self._nodes.append(node)
        return node.outputs[0]

    def name_last(self, name: str | None) -> None:
        """Give the node that was applied last the name of the one that it stands for."""
        self._nodes[-1].name, self._node.name = name, None

    def constant(self, elements: NDArray[Any] | np.generic, what: str) -> ir.Value:
        """what: ends its name."""
        name = f"{self._node.outputs[0].name}.{what}"
        return constants.add_initializer(self._graph, name, np.asarray(elements))

    def sizes(self, *sizes: int) -> ir.Value:
        """A shape, or axes."""
        return self.constant(np.array(sizes, np.int64), "sizes")

    def part(self, x: ir.Value, axis: int, begin: int, end: int, step: int = 1) -> ir.Value:
        """``x[begin:end:step]`` along ``axis``."""
        places = (self.sizes(number) for number in (begin, end, axis, step))
        return self.apply("Slice", x, *places)

    def taken(self, x: ir.Value, axis: int, places: NDArray[np.int64]) -> ir.Value:
        """The elements at ``places`` along ``axis``, a Slice for every stretch of equal steps."""
        parts = [
            self.part(x, axis, first, first + (count - 1) * step + 1, step)
            for first, count, step in stretches(places)
        ]
        return parts[0] if len(parts) == 1 else self.apply("Concat", *parts, axis=axis)

    def finish(self) -> None:
        """Put the nodes in place."""
        rewire.replace(self._node, *self._nodes)


def stretches(places: NDArray[np.int64]) -> list[tuple[int, int, int]]:
    """First place, number and positive step of the stretches that ``places`` consist of."""
    found: list[tuple[int, int, int]] = []
    start = 0
    while start < len(places):
        end = start + 1
        step = int(places[end] - places[start]) if end < len(places) else 1
        while step > 0 and end < len(places) and places[end] - places[end - 1] == step:
            end += 1
        found.append((int(places[start]), end - start, max(step, 1)))
        start = end
    return found
