"""Nodes whose results span more than 8 bits hold: between a power and the root or logarithm that
brings it back.
"""

from collections.abc import Mapping

import onnx_ir as ir

from sub8.graph import constants, patterns
from sub8.graph.tables import find_tables

# What hands on a range as it is, or nearly: no function that bounds it, no layer.
_HANDS_ON = (
    patterns.MOVES
    | patterns.MEANS
    | {"ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "MaxPool", "GlobalMaxPool", "Add",
       "Sub", "Mul", "Div", "Neg", "Abs", "Clip", "Relu", "Sqrt", "Max", "Min", "Sum", "Squeeze",
       "Unsqueeze"}
)  # fmt: skip
_LINEAR = patterns.MOVES | {"Add", "Sub", "Mul", "Div", "Neg", "Squeeze", "Unsqueeze"}


def wide_ranges(graph: ir.Graph) -> set[ir.Node]:
    """The nodes from a power (``x * x``, Pow, Exp) to a root or logarithm behind it, both included:
    generalised means, spectra, standard deviations.

    One layer may lie between, such as a filter bank's. Where a logarithm follows, the values far
    below the largest count as much as that, so linear filters between the graph's inputs and the
    power (a Fourier transform) belong to them. What one table computes, power and root in one,
    stays a table.
    """
    nodes = list(patterns.standard_nodes(graph))
    table_of: dict[ir.Node, list[ir.Node]] = {}
    for members in find_tables([node for node in nodes if patterns.is_elementwise(node)]).values():
        table_of.update(dict.fromkeys(members, members))
    found: set[ir.Node] = set()
    for node in nodes:
        if _brings_back(node):
            between = _Between(node, table_of)
            found |= between.nodes
            if node.op_type == "Log":
                found |= _filters(between.powers)
    return found


def _brings_back(node: ir.Node) -> bool:
    if node.op_type == "Pow":
        exponent = constants.scalar(node.inputs[1])
        return exponent is not None and 0 < abs(exponent) < 1
    return node.op_type in ("Sqrt", "Log")


class _Between:
    """What lies between a root or logarithm and the powers before it.

    nodes: all of it, none where there is no power. powers: which these are.
    """

    def __init__(self, root: ir.Node, table_of: Mapping[ir.Node, list[ir.Node]]):
        own = set(table_of.get(root, [root]))
        self.nodes: set[ir.Node] = set()
        self.powers: set[ir.Node] = set()
        # Upwards; with each node, whether a layer may still lie before it.
        start = (root, True)
        readers: dict[tuple[ir.Node, bool], list[tuple[ir.Node, bool]]] = {start: []}
        pending, reading = [start], []
        while pending:
            node, layer = here = pending.pop()
            layer &= not patterns.is_layer(node)
            for maker in _makers(node):
                powers = set() if maker in own else _powers(maker)
                if powers:
                    self.powers |= powers
                    reading.append(here)
                elif layer if patterns.is_layer(maker) else maker in own or _hands_on(maker):
                    if (maker, layer) not in readers:
                        readers[maker, layer] = []
                        pending.append((maker, layer))
                    readers[maker, layer].append(here)
        found: set[tuple[ir.Node, bool]] = set()
        while reading:
            here = reading.pop()
            if here not in found:
                found.add(here)
                reading.extend(readers[here])
        if found:
            self.nodes = {node for node, _ in found} | self.powers | own


def _makers(node: ir.Node) -> list[ir.Node]:
    makers = [value.producer() for value in patterns.activations(node)]
    return [maker for maker in makers if maker is not None and maker.domain == ""]


def _hands_on(node: ir.Node) -> bool:
    return node.op_type in _HANDS_ON or _brings_back(node)


def _powers(node: ir.Node) -> set[ir.Node]:
    """The node and those of which it is the product, as in ``x * x * x``, if its results span twice
    the octaves of what these read, or more; else none.
    """
    found: set[ir.Node] = set()
    grows, pending = False, [node]
    while pending:
        other = pending.pop()
        if other in found:
            continue
        if other.op_type == "Mul" and not any(map(constants.is_constant, other.inputs)):
            found.add(other)
            grows |= len(patterns.activations(other)) == 1
            pending.extend(_makers(other))
        elif other.op_type != "Mul" and patterns.grows(other):
            found.add(other)
            grows = True
    return found if grows else set()


def _filters(powers: set[ir.Node]) -> set[ir.Node]:
    """The linear nodes before the powers, if nothing else lies between them and the inputs."""
    found: set[ir.Node] = set()
    pending = [
        value.producer()
        for node in powers
        for value in patterns.activations(node)
        if value.producer() not in powers
    ]
    while pending:
        node = pending.pop()
        if node is None or node in found:
            continue
        product = node.op_type in ("Mul", "Div") and len(patterns.activations(node)) > 1
        linear = node.op_type in _LINEAR and not product
        if node.domain != "" or not (linear or patterns.is_layer(node)):
            return set()
        found.add(node)
        pending.extend(value.producer() for value in patterns.activations(node))
    return found
