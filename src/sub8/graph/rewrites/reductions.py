"""Means, sums, largest and smallest elements along any axes, as pooling over whole planes; sums of
a few branches, as sums.
"""

import math

import numpy as np
import onnx_ir as ir

from sub8.graph import constants, patterns
from sub8.graph.rewrites.in_place import InPlaceOf

_POOLS = {"ReduceMean": "GlobalAveragePool", "ReduceSum": "GlobalAveragePool",
          "ReduceMax": "GlobalMaxPool", "ReduceMin": "GlobalMaxPool"}  # fmt: skip
# What stands beside its own mean, sum or largest element in a normalisation.
_RELATES = frozenset({"Sub", "Div"})
_FEW = 3  # branches, each of which becomes a Slice


def spell_out_reduction(node: ir.Node) -> None:
    """Pooling of ``[B, kept, reduced, 1]`` in the place of a ReduceMean, ReduceSum, ReduceMax or
    ReduceMin of images, where at most one of their sizes is open.

    Norms stay as they are: squares, and exponentials, span more than 8 bits hold.
    """
    x, y = node.inputs[0], node.outputs[0]
    if node.op_type not in _POOLS or not patterns.is_float(x) or constants.is_constant(x):
        return
    shape, axes = patterns.sizes(x), _axes(node)
    if x is None or shape is None or not axes or 0 in axes or _is_part_of_norm(node, x):
        return
    if node.op_type == "ReduceSum" and _spell_out_branches(node, x, shape, axes):
        return
    others = [axis for axis in range(1, len(shape)) if axis not in axes]
    target = _target([1, *(shape[axis] for axis in others)], [shape[axis] for axis in axes])
    back = _shape_of_result(node, shape, axes)
    count = _count([shape[axis] for axis in axes])
    if target is None or back is None or (node.op_type == "ReduceSum" and count is None):
        return
    new = InPlaceOf(node)
    order, planes = (0, *others, *axes), x
    if order != tuple(range(len(shape))):
        planes = new.apply("Transpose", planes, perm=order)
    planes = new.apply("Reshape", planes, new.sizes(*target))
    smallest = node.op_type == "ReduceMin"
    if smallest:
        planes = new.apply("Neg", planes)
    pooled = new.apply(_POOLS[node.op_type], planes)
    if smallest:
        pooled = new.apply("Neg", pooled)
    if node.op_type == "ReduceSum":
        pooled = new.apply("Mul", pooled, new.constant(np.array(count, np.float32), "count"))
    result = new.apply("Reshape", pooled, new.sizes(*back))
    result.shape = y.shape
    new.finish()


def _spell_out_branches(
    node: ir.Node, x: ir.Value, shape: tuple[int | str | None, ...], axes: tuple[int, ...]
) -> bool:
    """Sum of the branches that one axis of a few elements tells apart, if it does."""
    (axis, *others), target = axes, _shape_of_result(node, shape, axes)
    count = shape[axis]
    if others or target is None or not isinstance(count, int) or not 1 < count <= _FEW:
        return False
    new = InPlaceOf(node)
    branches = (new.part(x, axis, place, place + 1) for place in range(count))
    parts = [new.apply("Reshape", branch, new.sizes(*target)) for branch in branches]
    total = parts[0]
    for part in parts[1:]:
        total = new.apply("Add", total, part)
    total.shape = node.outputs[0].shape
    new.finish()
    return True


def _axes(node: ir.Node) -> tuple[int, ...]:
    """Those that are reduced, in order; none where they are not known."""
    axes_count = patterns.rank(node.inputs[0]) or 0
    given = node.inputs[1] if len(node.inputs) > 1 else None
    found = constants.integers(given)
    if given is not None and found is None:
        return ()
    if not found:
        all_of_them = not patterns.attribute(node, "noop_with_empty_axes", 0)
        return tuple(range(axes_count)) if all_of_them else ()
    return tuple(sorted({axis % axes_count for axis in found}))


def _is_part_of_norm(node: ir.Node, x: ir.Value) -> bool:
    source = x.producer()
    if source is not None and patterns.grows(source) and len(patterns.activations(source)) == 1:
        return True
    return any(user.op_type in _RELATES for user in node.outputs[0].consumers())


def _target(kept: list[int | str | None], reduced: list[int | str | None]) -> list[int] | None:
    """``[B, kept, reduced, 1]`` as a Reshape says it."""
    first, second = _count(kept), _count(reduced)
    if first is not None:
        return [0, first, -1, 1]
    return None if second is None else [0, -1, second, 1]


def _shape_of_result(
    node: ir.Node, shape: tuple[int | str | None, ...], axes: tuple[int, ...]
) -> list[int] | None:
    keep = patterns.attribute(node, "keepdims", 1)
    found = [0]
    for axis, size in enumerate(shape):
        if axis in axes:
            found += [1] if keep else []
        elif axis > 0:
            found.append(size if isinstance(size, int) else -1)
    return found if found.count(-1) <= 1 else None


def _count(sizes: list[int | str | None]) -> int | None:
    numbers = [size for size in sizes if isinstance(size, int)]
    return math.prod(numbers) if len(numbers) == len(sizes) else None
