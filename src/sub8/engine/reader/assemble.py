"""From what the outputs need to a plan: operators that are used, float islands as few as possible,
in order.
"""

import dataclasses
from collections.abc import Callable, Iterable, Set
from typing import Any

import onnx_ir as ir

from sub8.engine.plan import operators as p
from sub8.engine.reader.state import GraphState
from sub8.engine.reader.subgraph import extract
from sub8.engine.reader.values import Integers, Pending
from sub8.errors import UnsupportedModelError
from sub8.graph.constants import computed_values
from sub8.graph.naming import node_name
from sub8.graph.reasons import why_float
from sub8.graph.sorting import sort_topologically
from sub8.numerics.dfp import Format

Piece = p.Operator | ir.Node
Names = Callable[[Any], list[str]]


def assemble(state: GraphState, *, integer_only: bool) -> p.Plan:
    """The plan for a graph's outputs.

    Raises UnsupportedModelError, naming the node, where a float island would be needed and
    ``integer_only`` forbids it, or where the graph returns bare integers.
    """
    return _Assembly(state, integer_only).plan()


class _Assembly:
    def __init__(self, state: GraphState, integer_only: bool):
        self.state = state
        self.integer_only = integer_only
        self.values = {str(v.name): v for node in state.model.graph for v in node.outputs}
        self.values |= {str(v.name): v for v in state.model.graph.inputs}
        self.computed = computed_values(state.model.graph)
        self.producer: dict[str, Piece] = {}
        self.formats: dict[str, Format | None] = {}

    def plan(self) -> p.Plan:
        graph = self.state.model.graph
        for value in graph.outputs:
            self._check_real(value)
        outputs = tuple(str(value.name) for value in graph.outputs)
        self._collect(outputs)
        pieces = _sorted(self._pieces(), self._reads, self._makes)
        operators = _sorted(self._with_islands(pieces, outputs), self._reads, self._makes)
        inputs = tuple(str(value.name) for value in graph.inputs)
        for name in inputs:
            self.formats[name] = None
        for operator in operators:
            for name in self._makes(operator):
                self.formats.setdefault(name, None)
        return p.Plan(
            inputs, outputs, tuple(operators), self.formats, dict(self.state.model.metadata_props)
        )

    def _collect(self, outputs: Iterable[str]) -> None:
        """Find what makes each tensor that the outputs need."""
        pending = list(outputs)
        while pending:
            name = pending.pop()
            value = self.values.get(name)
            if name in self.producer or (value is not None and value.is_graph_input()):
                continue
            piece = self._make(name)
            for made in self._makes(piece):
                self.producer[made] = piece
            pending.extend(self._reads(piece))

    def _make(self, name: str) -> Piece:
        emitter = self.state.emitter
        if name in emitter.operators:
            self.formats[name] = emitter.formats[name]
            return emitter.operators[name]
        value = self.values[name]
        known = self.state.of(value)
        if isinstance(known, Integers):
            self._check_real(value)
            return p.Dequantize(name=_name(value), x=known.tensor, out=name)
        if isinstance(known, Pending) and known.plain:
            return dataclasses.replace(known.core, out=name)
        node = value.producer()
        assert node is not None
        if self.integer_only:
            raise UnsupportedModelError(
                f"node {node_name(node)!r} ({node.op_type}): has no integer form here; allow float "
                "islands, or quantise its input and output"
            )
        return node

    def _check_real(self, value: ir.Value) -> None:
        known = self.state.of(value)
        if isinstance(known, Integers) and not known.real:
            raise UnsupportedModelError(
                f"tensor {value.name!r}: its bare 8-bit integers are used; put a DequantizeLinear "
                "behind it"
            )

    def _pieces(self) -> list[Piece]:
        return list({id(piece): piece for piece in self.producer.values()}.values())

    def _reads(self, piece: Piece) -> list[str]:
        if isinstance(piece, ir.Node):
            return [str(value.name) for value in _node_inputs(piece, self.computed)]
        return list(piece.inputs)

    def _makes(self, piece: Piece) -> list[str]:
        if isinstance(piece, ir.Node):
            return [str(value.name) for value in piece.outputs if value.name]
        return list(piece.outputs)

    def _with_islands(self, pieces: list[Piece], outputs: tuple[str, ...]) -> list[p.Operator]:
        """Replace float nodes by islands: one for all nodes that no integer operator must lie
        between.
        """
        level: dict[int, int] = {}
        for piece in pieces:
            is_float = isinstance(piece, ir.Node)
            level[id(piece)] = max(
                (
                    level[id(source)] + (is_float and not isinstance(source, ir.Node))
                    for name in self._reads(piece)
                    if (source := self.producer.get(name)) is not None
                ),
                default=0,
            )
        groups: dict[int, list[ir.Node]] = {}
        for piece in pieces:
            if isinstance(piece, ir.Node):
                groups.setdefault(level[id(piece)], []).append(piece)
        result: list[p.Operator] = [piece for piece in pieces if not isinstance(piece, ir.Node)]
        for _, nodes in sorted(groups.items()):
            inside = set(nodes)
            made = {name for node in nodes for name in self._makes(node)}
            others = [
                piece for piece in pieces if not (isinstance(piece, ir.Node) and piece in inside)
            ]
            wanted = set(outputs) | {name for piece in others for name in self._reads(piece)}
            read = dict.fromkeys(
                name for node in nodes for name in self._reads(node) if name not in made
            )
            left = tuple(name for node in nodes for name in self._makes(node) if name in wanted)
            result.append(
                p.Island(
                    name=node_name(nodes[0]),
                    model=extract(self.state.model, list(read), left),
                    inputs=tuple(read),
                    outputs=left,
                    nodes=tuple(node_name(node) for node in nodes),
                    reason=self._why_float(nodes),
                )
            )
        return result

    def _why_float(self, nodes: list[ir.Node]) -> str:
        names = map(node_name, nodes)
        told = (self.state.left_float[name] for name in names if name in self.state.left_float)
        return next(told, None) or why_float(nodes)


def _node_inputs(node: ir.Node, computed: Set[ir.Value]) -> list[ir.Value]:
    """The computed values of the node's graph that it reads, those that subgraphs capture
    included.
    """
    found: dict[ir.Value, None] = {}
    pending = [node]
    while pending:
        current = pending.pop()
        for value in current.inputs:
            if value is not None and value in computed:
                found[value] = None
        for attribute in current.attributes.values():
            if attribute.type == ir.AttributeType.GRAPH:
                pending.extend(attribute.value)
            elif attribute.type == ir.AttributeType.GRAPHS:
                pending.extend(inner for graph in attribute.value for inner in graph)
    return list(found)


def _sorted(pieces: list[Any], reads: Names, makes: Names) -> list[Any]:
    """Topological order; ties keep the given order reversed, since pieces were found from the
    outputs.
    """
    made = {name: index for index, piece in enumerate(pieces) for name in makes(piece)}
    sources = [{made[name] for name in reads(piece) if name in made} for piece in pieces]
    return [pieces[index] for index in sort_topologically(sources, range(0, -len(pieces), -1))]


def _name(value: ir.Value) -> str:
    node = value.producer()
    return str(value.name) if node is None else node_name(node)
