"""Which formats the graph itself decides: unsigned tensors, tensors that share a format, dynamic
exponents.
"""

from collections.abc import Callable, Iterable, Sequence

import onnx_ir as ir

from sub8.graph import constants, patterns
from sub8.graph.groups import Group, quantised_inputs

_NEVER_NEGATIVE = frozenset(
    ["Relu", "Sigmoid", "HardSigmoid", "Exp", "Abs", "Sqrt", "Softplus", "Softmax"]
)
_OF_FIRST_INPUT = frozenset(
    [
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "Reshape",
        "Transpose",
        "Slice",
        "Split",
        "Squeeze",
        "Unsqueeze",
        "Flatten",
        "ReduceMean",
        "ReduceMax",
        "ReduceSum",
        "Dropout",
        "Identity",
        "Floor",
        "Ceil",
        "Round",
        "DepthToSpace",
        "SpaceToDepth",
        "Expand",
        "Tile",
        "Gather",
    ]
)
_OF_ALL_INPUTS = frozenset(["Add", "Mul", "Div", "Concat", "Min", "Sum"])


def never_negative(model: ir.Model) -> set[str]:
    """Names of the tensors that cannot hold a negative number for any input, as the operators prove
    it.
    """
    found: set[str] = set()

    def holds(value: ir.Value | None) -> bool:
        elements = constants.array(value)
        if elements is not None:
            return bool((elements >= 0).all())
        return value is not None and value.name in found

    for node in model.graph:
        if node.domain == "" and _proven(node, holds):
            found.update(str(value.name) for value in node.outputs)
    return found


def _proven(node: ir.Node, holds: Callable[[ir.Value | None], bool]) -> bool:
    if node.op_type in _NEVER_NEGATIVE:
        return True
    if node.op_type in _OF_FIRST_INPUT:
        return holds(node.inputs[0])
    if node.op_type in _OF_ALL_INPUTS:
        return all(holds(value) for value in node.inputs)
    if node.op_type == "Max":
        return any(holds(value) for value in node.inputs)
    if node.op_type == "Clip":
        bounds = [constants.scalar(value) for value in node.inputs[1:3]]
        low, high = (*bounds, None, None)[:2]
        # ONNX: where the bounds cross, the upper one wins.
        return ((low is not None and low >= 0) or holds(node.inputs[0])) and (
            high is None or high >= 0
        )
    if node.op_type == "Resize":
        return holds(node.inputs[0]) and patterns.attribute(node, "mode", "nearest") != "cubic"
    if node.op_type == "Pad":
        fill = node.inputs[2] if len(node.inputs) > 2 else None
        return holds(node.inputs[0]) and (fill is None or holds(fill))
    return False


def quantised_tensors(model: ir.Model, groups: Sequence[Group]) -> list[str]:
    """Names of all tensors that need a Format, in topological order."""
    names = [
        *quantised_inputs(model, groups),
        *(name for group in groups for name in group.outputs),
    ]
    return list(dict.fromkeys(names))


class SharedFormats:
    """Sets of tensors with one format: what data movement joins.

    A Concat rounds each of its operands to its own format. An operand that it alone reads has that
    format at once, which saves a rounding; one with other readers keeps the format that suits them.
    """

    def __init__(self, model: ir.Model, groups: Sequence[Group]):
        names = quantised_tensors(model, groups)
        self._parent = {name: name for name in names}
        for group in groups:
            if group.keeps_format:
                self._join(group.inputs, group)
        readers: dict[str, set[Group]] = {}
        for group in groups:
            for name in group.inputs:
                if name in self._parent and not group.keeps_format:
                    readers.setdefault(self.of(name), set()).add(group)
        returned = {self.of(str(v.name)) for v in model.graph.outputs if v.name in self._parent}
        for group in groups:
            if _is_concat(group):
                alone = [
                    name
                    for name in group.inputs
                    if name in self._parent
                    and readers[self.of(name)] == {group}
                    and self.of(name) not in returned
                ]
                self._join(alone, group)
        self.sets: dict[str, list[str]] = {}
        for name in names:
            self.sets.setdefault(self.of(name), []).append(name)

    def of(self, name: str) -> str:
        """The name that stands for the set of ``name``."""
        while self._parent[name] != name:
            name = self._parent[name]
        return name

    def _join(self, sources: Iterable[str], group: Group) -> None:
        for name in group.outputs:
            for source in sources:
                if source in self._parent:
                    self._parent[self.of(source)] = self.of(name)


def lopsided_tensors(model: ir.Model, groups: Sequence[Group]) -> set[str]:
    """Tensors that may have a zero point: all but the graph's inputs and the results of layers,
    which lie around 0, and what normalisations and products of two activations read.
    """
    found = {
        name
        for group in groups
        if group.kind not in ("layer", "norm", "softmax")
        for name in group.outputs
    }
    for group in groups:
        if group.kind in ("norm", "softmax", "product"):
            found.difference_update(group.inputs)
    return found.difference(str(value.name) for value in model.graph.inputs)


def narrow_tensors(
    shared: SharedFormats, groups: Sequence[Group], bits: Callable[[str], int]
) -> dict[str, int]:
    """The bits of the tensors that have fewer than 8, by the name of the one that movement starts
    from: what a layer reads has at most as many as ``bits`` says by the layer's name, whoever else
    reads it. Only results of layers and sums can have fewer.
    """
    wanted: dict[str, int] = {}
    for group in groups:
        if group.kind == "layer":
            root = shared.of(group.inputs[0])
            wanted[root] = min(wanted.get(root, 8), bits(group.name))
    made = {name for group in groups if group.kind in ("layer", "add") for name in group.outputs}
    kept = moved(groups)
    return {
        members[0]: wanted[root]
        for root, members in shared.sets.items()
        if wanted.get(root, 8) < 8 and members[0] in made and kept.issuperset(members[1:])
    }


def moved(groups: Iterable[Group]) -> set[str]:
    """Tensors whose elements all come from one tensor of the same format: nothing new to
    observe.
    """
    return {name for group in groups if group.keeps_format for name in group.outputs}


def _is_concat(group: Group) -> bool:
    return group.kind == "move" and group.nodes[0].op_type == "Concat"


def dynamic_tensors(model: ir.Model, groups: Sequence[Group]) -> set[str]:
    """Tensors whose exponent can be taken at run time.

    Results of Conv, Linear and Add that are read by Conv, Linear, Add, pooling and data movement
    alone (moved tensors keep the scale, so their readers count as well), and that no graph output
    is made of. A Concat has one static format, and what it reads is static too.
    """
    readers: dict[str, list[Group]] = {}
    for group in groups:
        for name in group.inputs:
            readers.setdefault(name, []).append(group)
    returned = {value.name for value in model.graph.outputs}
    values = {value.name: value for node in model.graph for value in node.outputs}
    carries: dict[str, bool] = {}
    for group in reversed(groups):
        for name in group.outputs:
            carries[name] = name not in returned and all(
                _accepts_dynamic(reader, carries, values) for reader in readers.get(name, [])
            )
    found: set[str] = set()
    for group in groups:
        made = _takes_exponents(group)
        kept = group.keeps_format and group.inputs[0] in found
        found.update(name for name in group.outputs if carries[name] and (made or kept))
    return found


def _accepts_dynamic(
    reader: Group, carries: dict[str, bool], values: dict[str | None, ir.Value]
) -> bool:
    if _takes_exponents(reader):
        return True
    if not reader.keeps_format:
        return reader.kind == "pool" and reader.nodes[0].op_type != "Resize"
    same_batch = reader.kind == "pool" or all(
        _same_images(values[reader.inputs[0]], values[name]) for name in reader.outputs
    )
    return same_batch and all(name in carries and carries[name] for name in reader.results)


def _takes_exponents(group: Group) -> bool:
    return group.kind == "layer" or (group.kind == "add" and not group.constants)


def _same_images(before: ir.Value, after: ir.Value) -> bool:
    """Whether axis 0 provably counts the same images in both tensors."""
    if before.shape is None or after.shape is None or not len(before.shape) or not len(after.shape):
        return False
    node = after.producer()
    if node is not None and node.op_type == "Transpose":
        perm = patterns.attribute(node, "perm", ())
        return bool(perm) and perm[0] == 0
    a, b = before.shape[0], after.shape[0]
    known = isinstance(a, int) or (isinstance(a, ir.SymbolicDim) and a.value is not None)
    return known and a == b
