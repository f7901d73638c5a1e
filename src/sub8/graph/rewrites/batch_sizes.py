"""Shapes, and tensors of sizes alone, that follow from how large the batch is: as they are for any
batch.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import Sub8Error
from sub8.graph import constants, patterns
from sub8.graph.rewrites.folding import fold_constants

# What holds at these sizes of batch is taken to hold at all of them, if nothing compares sizes.
_TRIED = (1, 2, 41)
# How sizes may be computed; anything else could tell one size from another.
_ARITHMETIC = frozenset({
    "Shape", "Gather", "Slice", "Concat", "Unsqueeze", "Squeeze", "Reshape", "Cast", "Mul", "Add",
    "Sub", "Div", "Neg", "Identity", "Expand", "Tile", "Range", "Transpose",
})  # fmt: skip
# What the order of a sum, which depends on the batch, may change, of the largest.
_NEAR = 1e-6
_BROADCAST = patterns.ELEMENTWISE | {"Where", "Equal", "Greater", "Less", "And", "Or", "Sum"}


def fold_batch_sizes(model: ir.Model) -> bool:
    """Put constants in the place of what is computed from the batch's size and of no data: Reshape
    targets with at most one size that the batch changes, and operands that broadcasting repeats
    (positions, masks); whether anything changed, in place.

    The sizes are computed at three sizes of batch, where the inputs leave one size alone open.
    Needs folded constants.
    """
    graph = model.graph
    names = {
        dim.value
        for value in patterns.graph_inputs(graph)
        for dim in value.shape or ()
        if isinstance(dim, ir.SymbolicDim)
    }
    computed = [node for node in patterns.standard_nodes(graph) if node.op_type == "Shape"]
    if len(names) != 1 or None in names or not computed:
        return False
    try:
        runs = [_at(model, size) for size in _TRIED]
    except Sub8Error:  # some of these sizes the model does not take
        return False
    unsure, changed = _compared(graph), False
    for node in patterns.standard_nodes(graph):
        twins = [run.get(str(node.outputs[0].name)) for run in runs if node.outputs]
        same = [twin for twin in twins if twin is not None and twin.op_type == node.op_type]
        if len(same) == len(runs) and all(len(t.inputs) == len(node.inputs) for t in same):
            changed |= _simplify(graph, node, same, unsure)
    return changed


def _compared(graph: ir.Graph) -> set[ir.Value]:
    """What follows from sizes by more than arithmetic, comparisons for one."""
    sizes: set[ir.Value] = set()
    unsure: set[ir.Value] = set()
    for node in graph:
        read = sizes.intersection(node.inputs[:1] if node.op_type == "Reshape" else node.inputs)
        if not unsure.isdisjoint(node.inputs) or (
            read and node.op_type not in (*_ARITHMETIC, "ConstantOfShape")
        ):
            unsure.update(node.outputs)
        elif node.op_type == "Shape" or (read and node.op_type != "ConstantOfShape"):
            sizes.update(node.outputs)
    return unsure


def _at(model: ir.Model, batch: int) -> Mapping[str, ir.Node]:
    """What makes each result, by its name, in the model with so many images."""
    fixed = model.clone()
    for value in patterns.graph_inputs(fixed.graph):
        if value.shape is not None:
            value.shape = ir.Shape(
                [batch if isinstance(dim, ir.SymbolicDim) else dim for dim in value.shape]
            )
    for value in fixed.graph.outputs:
        value.shape = None
    fold_constants(fixed)
    return {str(value.name): node for node in fixed.graph for value in node.outputs}


def _simplify(
    graph: ir.Graph, node: ir.Node, twins: Sequence[ir.Node], unsure: set[ir.Value]
) -> bool:
    changed = False
    for place, value in enumerate(node.inputs):
        if value is None or constants.is_constant(value) or value in unsure:
            continue
        found = [constants.array(twin.inputs[place]) for twin in twins]
        arrays = [elements for elements in found if elements is not None]
        if len(arrays) < len(found):
            continue
        if node.op_type == "Reshape" and place == 1:
            known = _target(twins)
        else:
            known = _same(arrays)
            if known is None and node.op_type in _BROADCAST:
                known = _rows(arrays, node, place, twins)
        if known is not None:
            stored = constants.add_initializer(graph, f"{value.name}.any_batch", known)
            node.replace_input_with(place, stored)
            changed = True
    return changed


def _same(arrays: Sequence[NDArray]) -> NDArray | None:
    first = arrays[0]
    return first if all(np.array_equal(first, other) for other in arrays[1:]) else None


def _target(twins: Sequence[ir.Node]) -> NDArray[np.int64] | None:
    """Of a Reshape: its result's sizes, the one that the batch changes left open."""
    shapes = [patterns.sizes(twin.outputs[0]) for twin in twins]
    whole = [s for s in shapes if s is not None and all(isinstance(size, int) for size in s)]
    if len(whole) < len(shapes) or len({len(shape) for shape in whole}) != 1:
        return None
    target = [sizes[0] if len(set(sizes)) == 1 else -1 for sizes in zip(*whole, strict=True)]
    return np.array(target, np.int64) if target.count(-1) <= 1 and 0 not in target else None


def _rows(
    arrays: Sequence[NDArray], node: ir.Node, place: int, twins: Sequence[ir.Node]
) -> NDArray | None:
    """Of an operand whose rows are the same for every image: one of them, where another operand
    has the images.
    """
    first, one = arrays[0], np.int8(1)  # of truth values, numbers
    if first.ndim == 0 or any(
        len(elements) != size or elements.shape[1:] != first.shape[1:]
        for elements, size in zip(arrays, _TRIED, strict=True)
    ):
        return None
    near = _NEAR * float(np.abs(first).max(initial=0)) if first.dtype.kind == "f" else 0
    if not all((np.abs(elements * one - first[:1] * one) <= near).all() for elements in arrays):
        return None
    others = [
        twin.inputs[other]
        for twin in twins
        for other in range(len(node.inputs))
        if other != place and not constants.is_constant(twin.inputs[other])
    ]
    ranks = {patterns.rank(value) for value in others}
    leading = {patterns.size(value, 0) for value in others if patterns.rank(value)}
    return first[:1] if ranks == {first.ndim} and leading == set(_TRIED) else None
