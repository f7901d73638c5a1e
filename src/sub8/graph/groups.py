"""Cut a normalised float graph into groups: the pieces whose result is one 8-bit tensor, and float
islands.
"""

import fnmatch
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import UnsupportedModelError
from sub8.graph import constants, patterns, rows
from sub8.graph.data_sizes import data_sized
from sub8.graph.infinite import infinite
from sub8.graph.naming import node_name
from sub8.graph.sorting import sort_topologically
from sub8.graph.tables import find_tables
from sub8.graph.wide_ranges import wide_ranges

GroupKind = Literal[
    "layer", "product", "add", "sub", "mul", "table", "pool", "move", "norm", "softmax", "island"
]

# Groups that read true floats as well as dequantised tensors.
_READ_FLOATS = ("island", "softmax")
_OF_TWO: dict[str, GroupKind] = {"Add": "add", "Sub": "sub", "Mul": "mul"}
# What stays float where it leads to the graph's outputs alone.
_TAILS = ("table", "move", "add", "sub", "mul", "norm", "softmax")
_WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
# What stays float between float islands.
_BETWEEN = (*_TAILS, "pool")


@dataclass(frozen=True, eq=False, kw_only=True)
class Group:
    """Nodes that become one integer operator, or one float island.

    kind: "layer": Conv/Gemm/MatMul [+ constant bias Add] [+ residual Add] [+ Relu/Clip ...];
        "product": MatMul of two activations; "add", "sub": two activations, or one and a constant
        of any shape [+ Relu/Clip ...]; "mul": the same without clamps; "table": an element-wise
        function of one tensor; "pool": MaxPool, AveragePool, those over whole planes; "move":
        Reshape, Transpose, Concat, Slice, Split, Pad; "norm": LayerNormalization along rows;
        "softmax": the same of Softmax, with a factor and an addend before it; "island": float nodes
        outside the integer set.
    name: the layer's node name, else the last node's.
    nodes: in topological order. layer: the Conv, Gemm or MatMul of a "layer".
    inputs: names of the activations read, in order of first use; a layer's are (x,) or (x,
    residual).
    outputs: names of the results that must be quantised.
    results: names of all tensors that leave the group; those not in ``outputs`` stay float32
        (logits, and what only islands read).
    constants: names of the constants that are operands of an "add", "sub" or "mul"; they must be
        quantised too.
    keeps_format: the result's integers are the input's integers, so its Format must be the input's
        (a Concat is not among them: its inputs may differ).
    first: no weighted layer lies before it. last: none lies behind it. depthwise: a Conv with one
        input channel per group and more than one group.
    """

    name: str
    kind: GroupKind
    nodes: tuple[ir.Node, ...]
    layer: ir.Node | None
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    results: tuple[str, ...]
    constants: tuple[str, ...] = ()
    keeps_format: bool = False
    first: bool = False
    last: bool = False
    depthwise: bool = False

    @property
    def residual(self) -> str | None:
        """Name of the tensor that a layer adds before its one rounding."""
        return self.inputs[1] if self.kind == "layer" and len(self.inputs) > 1 else None

    def weight(self) -> NDArray[np.float32]:
        """The layer's weight as float32 ``[O, I, *kernel]`` (I: input channels of one convolution
        group).
        """
        assert self.layer is not None
        return patterns.layer_weight(self.layer)

    def bias(self) -> NDArray[np.float32]:
        """The layer's bias as float32 ``[O]``, zeros where it has none."""
        assert self.layer is not None
        return patterns.layer_bias(self.layer)


def find_groups(model: ir.Model, keep_float: Iterable[str] = ()) -> list[Group]:
    """Partition a normalised model (``normalise``) into groups, in topological order.

    Every node is in exactly one group. Works for any batch and spatial size.
    keep_float: shell-style patterns of names of nodes that stay in float islands.
    Raises UnsupportedModelError where two weighted layers have the same name.
    """
    drafts = _Partition(model.graph, tuple(keep_float)).sorted_drafts()
    names = [draft.layer.name for draft in drafts if draft.layer is not None]
    for name in names:
        if not name or names.count(name) > 1:
            raise UnsupportedModelError(
                f"layer name {name!r} is empty or not unique; normalise the model first"
            )
    behind = _layer_behind(drafts)
    before = _layer_before(drafts)
    return [_finish(draft, first=not before[draft], last=not behind[draft]) for draft in drafts]


def why_no_layer(model: ir.Model) -> str:
    """Why a normalised model without a layer group has none: the first convolution or product, and
    what it lacks.
    """
    for node in model.graph:
        if node.domain != "" or node.op_type not in _WEIGHTED:
            continue
        weight = constants.array(node.inputs[1])
        lack = "its weight is computed from the input"
        if node.op_type == "ConvTranspose":
            lack = "a transposed convolution in this form stays float32"
        elif node.op_type == "Conv" and weight is not None:
            lack = f"{weight.ndim - 2}-D convolutions stay float32"
        elif node.op_type == "MatMul" and patterns.rank(node.inputs[0]) is None:
            lack = "how many axes its input has is not known (declare the model's input shape)"
        elif weight is not None:
            lack = f"a weight of {weight.ndim} axes, or in this form, stays float32"
        return (
            f"no layer can be quantised: node {node.name!r} ({node.op_type}): {lack}; only "
            "Conv over one or two axes, Gemm and MatMul with constant weights have an integer form"
        )
    for node in model.graph:
        inner = {other.op_type for branch in _branches(node) for other in branch.all_nodes()}
        if not inner.isdisjoint(_WEIGHTED):
            return (
                f"no layer can be quantised: they stand in a branch of node {node.name!r} "
                f"({node.op_type}), which stays float32; give a model of that branch alone"
            )
    return "holds no Conv, Gemm or MatMul with constant weights"


def quantised_inputs(model: ir.Model, groups: Iterable[Group]) -> tuple[str, ...]:
    """The graph's inputs that integer groups read: they need a Format like any group's output."""
    read = {name for group in groups if group.kind not in _READ_FLOATS for name in group.inputs}
    return tuple(value.name for value in model.graph.inputs if value.name in read)


class _Draft:
    """A group while it is being found; ``owner`` (shared by all drafts) maps each node to its
    draft.
    """

    def __init__(
        self,
        owner: dict[ir.Node, "_Draft"],
        position: dict[ir.Node, int],
        kind: GroupKind,
        nodes: Iterable[ir.Node],
        layer: ir.Node | None = None,
    ):
        self.owner = owner
        self.kind: GroupKind = kind
        self.nodes = sorted(nodes, key=position.__getitem__)
        self.layer = layer
        self.order = position[self.nodes[-1]]
        for node in self.nodes:
            owner[node] = self

    def inputs(self) -> list[ir.Value]:
        inside = set(self.nodes)
        read: dict[ir.Value, None] = {}
        for node in self.nodes:
            for value in _read_by(node):
                if value.producer() not in inside:
                    read[value] = None
        return list(read)

    def results(self) -> list[ir.Value]:
        inside = set(self.nodes)
        return [
            value
            for node in self.nodes
            for value in node.outputs
            if value.is_graph_output() or any(user not in inside for user in value.consumers())
        ]

    def sources(self) -> list["_Draft"]:
        producers = (value.producer() for value in self.inputs())
        return list(dict.fromkeys(self.owner[p] for p in producers if p is not None))

    def readers(self, value: ir.Value) -> list["_Draft"]:
        found = dict.fromkeys(self.owner.get(user) for user in value.consumers())
        return [draft for draft in found if draft is not None and draft is not self]


def _read_by(node: ir.Node) -> list[ir.Value]:
    """Activations a node reads, those that its subgraphs (If, Loop) capture included."""
    read = dict.fromkeys(patterns.activations(node))
    for branch in _branches(node):
        for inner in branch.all_nodes():
            for value in patterns.activations(inner):
                if value.graph is node.graph:
                    read[value] = None
    return list(read)


def _branches(node: ir.Node) -> list[ir.Graph]:
    """A node's subgraphs (If, Loop)."""
    found: list[ir.Graph] = []
    for attr in node.attributes.values():
        if attr.type == ir.AttributeType.GRAPH:
            found.append(attr.value)
        elif attr.type == ir.AttributeType.GRAPHS:
            found.extend(attr.value)
    return found


class _Partition:
    def __init__(self, graph: ir.Graph, keep_float: tuple[str, ...]):
        self.nodes = list(graph)
        self.kept = {
            node
            for node in self.nodes
            if any(fnmatch.fnmatchcase(node_name(node), pattern) for pattern in keep_float)
        }
        self.position = {node: index for index, node in enumerate(self.nodes)}
        self.owner: dict[ir.Node, _Draft] = {}
        self.kept |= wide_ranges(graph)
        self.float_only = data_sized(graph) | infinite(graph)

    def sorted_drafts(self) -> list[_Draft]:
        for node in self.nodes:
            apart = not self.float_only.isdisjoint((*node.inputs, *node.outputs))
            if apart or node in self.kept:
                self._claim("island", [node])
        self._claim_layers()
        self._claim_rows()
        self._claim_elementwise()
        for node in self.nodes:
            if node not in self.owner:
                kind: GroupKind = "island"
                if patterns.is_product(node):
                    kind = "product"
                elif patterns.is_pool(node):
                    kind = "pool"
                elif patterns.is_move(node):
                    kind = "move"
                self._claim(kind, [node])
        self._release_rows()
        self._release_between()
        self._release_float_tails()
        self._merge_islands()
        return self._sorted()

    def _claim(
        self, kind: GroupKind, nodes: Iterable[ir.Node], layer: ir.Node | None = None
    ) -> _Draft:
        return _Draft(self.owner, self.position, kind, nodes, layer)

    def _drafts(self) -> list[_Draft]:
        return list(dict.fromkeys(self.owner[node] for node in self.nodes))

    def _claim_layers(self) -> None:
        for node in self.nodes:
            if node in self.owner or not patterns.is_layer(node):
                continue
            nodes = [node]
            bias = patterns.bias_add(node)
            if bias is not None:
                nodes.append(bias)
            residual = self._residual_add(nodes[-1].outputs[0])
            if residual is not None:
                nodes.append(residual)
            self._claim("layer", nodes + self._clamps(nodes[-1]), node)

    def _residual_add(self, value: ir.Value) -> ir.Node | None:
        """The Add that a layer ending in ``value`` absorbs; of two layers the first operand's takes
        it.
        """
        add = patterns.only_user(value)
        if add is None or add in self.owner or add.op_type != "Add" or add.domain != "":
            return None
        first, second = add.inputs
        other = second if first is value else first
        if other is None or constants.is_constant(other) or not patterns.is_float(other):
            return None
        if not (patterns.same_shape(value, other) and patterns.same_shape(value, add.outputs[0])):
            return None
        return None if value is second and patterns.ends_layer(first) else add

    def _clamps(self, node: ir.Node) -> list[ir.Node]:
        found: list[ir.Node] = []
        user = patterns.only_user(node.outputs[0])
        while user is not None and patterns.is_clamp(user) and user not in self.owner:
            found.append(user)
            user = patterns.only_user(user.outputs[0])
        return found

    def _claim_rows(self) -> None:
        for node in self.nodes:
            if node in self.owner:
                continue
            softmax = rows.softmax_form(node, lambda other: other not in self.owner)
            if softmax is not None:
                self._claim("softmax", softmax.nodes)
            elif rows.norm_form(node) is not None:
                self._claim("norm", [node])

    def _claim_elementwise(self) -> None:
        candidates = [n for n in self.nodes if n not in self.owner and patterns.is_elementwise(n)]
        tables = find_tables(candidates)
        in_table = {node for nodes in tables.values() for node in nodes}
        for node in candidates:
            if node not in in_table and node.op_type in _OF_TWO:
                # The sum takes the clamps behind it, so the tables are sought again without them.
                self._claim_of_two(node)
        for node in self.nodes:
            if node not in self.owner and patterns.constant_operand(node) is not None:
                self._claim_of_two(node)
        for nodes in find_tables([n for n in candidates if n not in self.owner]).values():
            self._claim("table", nodes)

    def _claim_of_two(self, node: ir.Node) -> None:
        clamps = [] if node.op_type == "Mul" else self._clamps(node)
        self._claim(_OF_TWO[node.op_type], [node, *clamps])

    def _release_rows(self) -> None:
        """Leave Softmax and normalisations that read from, or are read by, float islands alone to
        those islands, unless what they read is 8-bit for others.
        """
        ordered = self._sorted()
        for draft in (*ordered, *reversed(ordered)):
            if draft.kind not in ("norm", "softmax"):
                continue
            (x,) = draft.inputs()
            others_read_it = any(
                self.owner[user].kind not in (*_READ_FLOATS, "norm") for user in x.consumers()
            )
            sources = [] if others_read_it else draft.sources()
            readers = [reader for value in draft.results() for reader in draft.readers(value)]
            for others in (sources, readers):
                if others and all(other.kind == "island" for other in others):
                    draft.kind = "island"

    def _release_between(self) -> None:
        """Turn arithmetic and movements into float where all that they read comes from float
        islands, and islands alone read them; and functions of what an island gives to them alone.

        Rounding to 8 bits on the way would only lose precision.
        """
        ordered = self._sorted()
        for draft in ordered:
            if draft.kind == "table" and self._only_reader_of_islands(draft):
                draft.kind = "island"
        between = {draft for draft in ordered if draft.kind in _BETWEEN}
        outside = True
        while outside:
            kept = {draft for draft in between if self._is_between(draft, between)}
            outside, between = len(kept) < len(between), kept
        for draft in between:
            draft.kind = "island"

    def _only_reader_of_islands(self, draft: _Draft) -> bool:
        sources = draft.sources()
        return bool(sources) and all(
            source.kind == "island"
            and all(
                not value.is_graph_output() and source.readers(value) == [draft]
                for value in draft.inputs()
                if value.producer() in source.nodes
            )
            for source in sources
        )

    def _is_between(self, draft: _Draft, between: set[_Draft]) -> bool:
        results = draft.results()
        read = [reader for value in results for reader in draft.readers(value)]
        neighbours = [*draft.sources(), *read]
        whole = all(value.producer() is not None for value in draft.inputs())
        return (
            whole
            and bool(read)
            and all(other.kind == "island" or other in between for other in neighbours)
        )

    def _release_float_tails(self) -> None:
        """Turn arithmetic and movements that lead only to the graph's outputs into float islands.

        Logits and heads stay float32: a Softmax-like tail, a final Sigmoid or a Reshape of what a
        layer computed would only lose precision in 8 bits, and coordinates (a distance plus its
        anchor, times a stride) far more. So do the clamps of layers that only such a tail reads,
        and a layer in it that has next to no weights: the expectation over a distribution.
        """
        ordered = self._sorted()
        tail: set[_Draft] = set()
        for draft in reversed(ordered):
            if (draft.kind in _TAILS or self._is_small(draft)) and all(
                reader.kind == "island" or reader in tail
                for value in draft.results()
                for reader in draft.readers(value)
            ):
                tail.add(draft)
        for draft in ordered:
            if draft not in tail:
                continue
            from_float = any(source.kind in ("layer", "island") for source in draft.sources())
            if draft.kind not in ("move", "layer") or from_float:
                draft.kind, draft.layer = "island", None
        for draft in ordered:
            if draft.kind == "layer":
                self._release_clamps(draft)

    def _is_small(self, draft: _Draft) -> bool:
        """Whether it is a layer on the result of a float island or of Softmax with a negligible
        part of all weights.
        """
        sources = draft.sources()
        while any(source.kind == "move" for source in sources):
            moves = [source for source in sources if source.kind == "move"]
            others = [source for source in sources if source.kind != "move"]
            sources = others + [source for move in moves for source in move.sources()]
        if draft.layer is None or all(source.kind not in _READ_FLOATS for source in sources):
            return False
        own = patterns.layer_weight(draft.layer).size
        return own <= patterns.SMALL_PART * self.weights

    def _release_clamps(self, draft: _Draft) -> None:
        """Cut off a layer's clamps where float arithmetic alone reads the result."""
        clamps = [node for node in draft.nodes if patterns.is_clamp(node)]
        results = draft.results()
        readers = [reader for value in results for reader in draft.readers(value)]
        returned = any(value.is_graph_output() for value in results)
        if not clamps or not readers or returned or draft.inputs()[1:]:
            return
        if all(reader.kind == "island" and self._leads_out(reader) for reader in readers):
            self._claim("island", clamps)
            draft.nodes = [node for node in draft.nodes if node not in clamps]

    def _leads_out(self, draft: _Draft) -> bool:
        """Whether no integer group lies behind an island."""
        pending, seen = [draft], {draft}
        while pending:
            current = pending.pop()
            for value in current.results():
                for reader in current.readers(value):
                    if reader.kind != "island":
                        return False
                    if reader not in seen:
                        seen.add(reader)
                        pending.append(reader)
        return True

    @cached_property
    def weights(self) -> int:
        """How many weights all layers have."""
        return sum(patterns.layer_weight(n).size for n in self.nodes if patterns.is_layer(n))

    def _merge_islands(self) -> None:
        """Join islands that feed each other, wherever no path between them leaves and comes
        back.
        """
        crossings: dict[_Draft, int] = {}
        for draft in self._sorted():
            crossings[draft] = max(
                (
                    crossings[source] + (draft.kind == "island" and source.kind != "island")
                    for source in draft.sources()
                ),
                default=0,
            )
        joined: dict[_Draft, _Draft] = {}

        def root(draft: _Draft) -> _Draft:
            while draft in joined:
                draft = joined[draft]
            return draft

        islands = [draft for draft in crossings if draft.kind == "island"]
        for draft in islands:
            for source in draft.sources():
                if source.kind == "island" and crossings[source] == crossings[draft]:
                    a, b = root(source), root(draft)
                    if a is not b:
                        joined[b] = a
        members: dict[_Draft, list[ir.Node]] = {}
        for draft in islands:
            members.setdefault(root(draft), []).extend(draft.nodes)
        for nodes in members.values():
            self._claim("island", nodes)

    def _sorted(self) -> list[_Draft]:
        """Topological order of the groups; ties go by the position of their last node."""
        drafts = self._drafts()
        index_of = {draft: index for index, draft in enumerate(drafts)}
        sources = [[index_of[source] for source in draft.sources()] for draft in drafts]
        order = sort_topologically(sources, [draft.order for draft in drafts])
        return [drafts[index] for index in order]


def _layer_before(drafts: list[_Draft]) -> dict[_Draft, bool]:
    before: dict[_Draft, bool] = {}
    for draft in drafts:
        before[draft] = any(source.kind == "layer" or before[source] for source in draft.sources())
    return before


def _layer_behind(drafts: list[_Draft]) -> dict[_Draft, bool]:
    behind = dict.fromkeys(drafts, False)
    for draft in reversed(drafts):
        for source in draft.sources():
            behind[source] |= draft.kind == "layer" or behind[draft]
    return behind


def _finish(draft: _Draft, *, first: bool, last: bool) -> Group:
    results = draft.results()
    is_layer = draft.layer is not None
    inputs = draft.inputs()
    if draft.layer is not None:
        x = draft.layer.inputs[0]
        assert x is not None
        inputs = [x, *(value for value in inputs if value is not x)]
        if len(inputs) == 1 and any(node.op_type == "Add" for node in draft.nodes):
            inputs += [x for node in draft.nodes if node.op_type == "Add" and x in node.inputs]
    return Group(
        name=(draft.layer or draft.nodes[-1]).name or draft.nodes[-1].outputs[0].name or "",
        kind=draft.kind,
        nodes=tuple(draft.nodes),
        layer=draft.layer,
        inputs=tuple(str(value.name) for value in inputs),
        outputs=tuple(str(value.name) for value in results if _is_quantised(draft, value)),
        results=tuple(str(value.name) for value in results),
        constants=_constants_of(draft),
        keeps_format=draft.kind in ("move", "pool")
        and draft.nodes[0].op_type not in ("Concat", "AveragePool", "GlobalAveragePool")
        and patterns.interpolation(draft.nodes[0]) is None,
        first=is_layer and first,
        last=is_layer and last,
        depthwise=draft.layer is not None and patterns.is_depthwise(draft.layer),
    )


def _constants_of(draft: _Draft) -> tuple[str, ...]:
    if draft.kind not in ("add", "sub", "mul"):
        return ()
    found = patterns.constant_operand(draft.nodes[0])
    return () if found is None else (str(found.name),)


def _is_quantised(draft: _Draft, value: ir.Value) -> bool:
    """What integer groups read is 8-bit; of the rest, plain accumulators and an island's result
    stay float.
    """
    if any(reader.kind not in _READ_FLOATS for reader in draft.readers(value)):
        return True
    if draft.kind in ("island", "product"):
        return False
    return draft.kind != "layer" or patterns.is_clamp(draft.nodes[-1])
