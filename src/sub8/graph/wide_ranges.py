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
        self._table_of = table_of
        self._own = set(table_of.get(root, [root]))
        self._known: dict[tuple[ir.Value, bool], bool] = {}
        self.nodes: set[ir.Node] = set()
        self.powers: set[ir.Node] = set()
        if self._follow(root, True):
            self.nodes |= self._own

    def _follow(self, node: ir.Node, layer: bool) -> bool:
        found = [self._power_before(value, layer) for value in patterns.activations(node)]
        return any(found)

    def _power_before(self, value: ir.Value, layer: bool) -> bool:
        """Whether ``value`` hands on a power's range. layer: whether a layer may still lie
        before it.
        """
        if (value, layer) not in self._known:
            self._known[value, layer] = False
            self._known[value, layer] = self._made_by_power(value.producer(), layer)
        return self._known[value, layer]

    def _made_by_power(self, node: ir.Node | None, layer: bool) -> bool:
        if node is None or node.domain != "":
            return False
        if _is_power(node) and node not in self._own:
            self.powers |= _powers(node)
            self.nodes |= _powers(node)
            return True
        if patterns.is_layer(node):
            found = layer and self._follow(node, False)
        else:
            found = (
                node in self._own or node.op_type in _HANDS_ON or _brings_back(node)
            ) and self._follow(node, layer)
        if found:
            self.nodes.add(node)
        return found


def _is_power(node: ir.Node) -> bool:
    """Whether the results span twice the octaves of what the node reads, or more."""
    return bool(_powers(node))


def _powers(node: ir.Node) -> set[ir.Node]:
    """The node, if it is a power, and those of which it is the product, as in ``x * x * x``."""
    if node.op_type != "Mul":
        return {node} if patterns.grows(node) else set()
    if any(map(constants.is_constant, node.inputs)):
        return set()
    values = patterns.activations(node)
    makers = [maker for value in values if (maker := value.producer()) and maker.domain == ""]
    before = {power for maker in makers for power in _powers(maker)}
    return {node} | before if before or len(values) == 1 else set()


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
