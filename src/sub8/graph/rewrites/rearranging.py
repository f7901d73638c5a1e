"""Movements spelled out in those that have an integer form: Slice, Concat, Pad, Reshape, Expand."""

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, patterns, rewire
from sub8.graph.rewrites.in_place import InPlaceOf, stretches
from sub8.oracle import OnnxRuntime

# Of equal steps, that a Gather may consist of.
_MOST_STRETCHES = 64
_MOST_COPIES = 16
_BROADCASTS = frozenset({"Add", "Sub", "Mul", "Div", "Min", "Max", "Where", "Pow"})


def spell_out_movement(node: ir.Node) -> None:
    """Gather of constant indices, Slice backwards, Tile, Expand, Concat with constants, Pad with a
    number, Resize to fewer elements; in place, where ``node`` is one of them. Needs inferred
    shapes.
    """
    known = {"Gather": _gather, "Slice": _backwards, "Tile": _tile, "Expand": _expand,
             "Concat": _concat, "Pad": _pad, "Resize": _shrink}  # fmt: skip
    if node.op_type in known and patterns.is_float(node.outputs[0]):
        known[node.op_type](node)


def _gather(node: ir.Node) -> None:
    x, indices = node.inputs[0], constants.array(node.inputs[1])
    axes = patterns.rank(x)
    if x is None or constants.is_constant(x) or not axes or indices is None or not indices.size:
        return
    axis = int(patterns.attribute(node, "axis", 0)) % axes
    size = patterns.size(x, axis)
    places = indices.reshape(-1).astype(np.int64)
    if size is not None:
        places = np.where(places < 0, places + size, places)
    if axis == 0 or (places < 0).any() or (size is not None and (places >= size).any()):
        return
    target = patterns.reshape_target(x, node.outputs[0])
    if len(stretches(places)) > _MOST_STRETCHES or (indices.ndim != 1 and target is None):
        return
    new = InPlaceOf(node)
    taken = new.taken(x, axis, places)
    if indices.ndim != 1 and target is not None:
        new.apply("Reshape", taken, new.sizes(*target))
    new.finish()


def _backwards(node: ir.Node) -> None:
    x, *operands = node.inputs
    numbers = [constants.integers(operand) for operand in operands]
    if x is None or constants.is_constant(x) or len(numbers) != 4 or x.shape is None:
        return
    starts, ends, axes, steps = numbers
    if starts is None or ends is None or axes is None or steps is None or min(steps) > 0:
        return
    chosen = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = axis % len(x.shape)
        size = patterns.size(x, place)
        if size is None or place == 0:
            return
        past_first = step < 0 and end < -size
        chosen.append((place, np.arange(size)[slice(start, None if past_first else end, step)]))
    if any(not places.size or len(stretches(places)) > _MOST_STRETCHES for _, places in chosen):
        return
    new = InPlaceOf(node)
    for place, places in chosen:
        x = new.taken(x, place, places)
    new.finish()


def _tile(node: ir.Node) -> None:
    x, repeats = node.inputs[0], constants.integers(node.inputs[1])
    if x is None or constants.is_constant(x) or repeats is None or repeats[0] != 1:
        return
    if max(repeats) > _MOST_COPIES or min(repeats) < 1:
        return
    new = InPlaceOf(node)
    for axis, count in enumerate(repeats):
        if count > 1:
            x = new.apply("Concat", *[x] * count, axis=axis)
    if max(repeats) == 1:
        rewire.bypass(node, x)
    else:
        new.finish()


def _expand(node: ir.Node) -> None:
    """To a constant shape, in which 1 leaves a size as it is; or nothing, where what reads the
    result broadcasts itself.
    """
    x, y = node.inputs[0], node.outputs[0]
    before, after = patterns.sizes(x), patterns.sizes(y)
    if x is None or constants.is_constant(x) or before is None or after is None:
        return
    wide = (1,) * (len(after) - len(before)) + before
    target = [1 if old == new else new for old, new in zip(wide, after, strict=True)]
    if y.is_graph_output() or not all(_broadcasts(user, y) for user in y.consumers()):
        numbers = [size for size in target if isinstance(size, int)]
        reshape = patterns.reshape_target(x, ir.Value(shape=ir.Shape(wide)))
        if len(numbers) < len(target) or target[0] != 1 or reshape is None:
            return
        new = InPlaceOf(node)
        if len(wide) > len(before):
            x = new.apply("Reshape", x, new.sizes(*reshape))
        new.apply("Expand", x, new.sizes(*numbers))
        new.finish()
    else:
        rewire.bypass(node, x)


def _broadcasts(user: ir.Node, value: ir.Value) -> bool:
    """Whether an operator that broadcasts has another operand of the size that it gives."""
    others = [other for other in user.inputs if other is not value]
    size = patterns.sizes(user.outputs[0])
    known = size is not None and None not in size
    return (
        user.domain == ""
        and user.op_type in _BROADCASTS
        and known
        and any(patterns.sizes(other) == size for other in others)
    )


def _concat(node: ir.Node) -> None:
    """Zeros in the places of constants, to which a sum adds them; they may be the same for every
    image. A constant added behind goes with them.
    """
    parts = [_constant_part(value) for value in node.inputs]
    axes = patterns.rank(node.outputs[0])
    if axes is None or all(part is None for part in parts):
        return
    axis = int(patterns.attribute(node, "axis", 0)) % axes
    sizes = [patterns.size(value, axis) or 0 for value in node.inputs]
    computed = [value for value, part in zip(node.inputs, parts, strict=True) if part is None]
    if axis == 0 or 0 in sizes or not computed or not all(map(patterns.is_float, node.inputs)):
        return
    held = [part for part in parts if part is not None]
    if any(part.ndim != axes or not np.isfinite(part).all() for part in held):
        return
    around = np.broadcast_shapes(*(part.shape[:axis] + part.shape[axis + 1 :] for part in held))
    addend = np.concatenate(
        [
            np.zeros((*around[:axis], size, *around[axis:]), np.float32)
            if part is None
            else np.broadcast_to(part, (*around[:axis], size, *around[axis:]))
            for part, size in zip(parts, sizes, strict=True)
        ],
        axis=axis,
    )
    last, behind = node, patterns.only_user(node.outputs[0])
    if behind is not None and patterns.constant_operand(behind) is not None:
        other = constants.array(patterns.constant_operand(behind))
        assert other is not None
        if behind.op_type == "Add" and other.ndim <= axes and len(behind.inputs) == 2:
            last, addend = behind, addend + other
    new = InPlaceOf(last)
    zeroed = _with_zeros(new, node, parts, axis)
    new.apply("Add", zeroed, new.constant(addend, "constants"))
    new.finish()
    if last is not node and node.graph is not None:
        node.graph.remove(node, safe=True)


def _with_zeros(
    new: InPlaceOf, node: ir.Node, parts: Sequence[NDArray | None], axis: int
) -> ir.Value:
    """The computed parts with as many zeros before, between and behind them as constants have."""
    axes = patterns.rank(node.outputs[0])
    assert axes is not None
    padded: list[ir.Value | None] = []
    pads = [0] * (2 * axes)
    computed = [place for place, part in enumerate(parts) if part is None]
    for value, part in zip(node.inputs, parts, strict=True):
        if part is not None:
            pads[axis] += patterns.size(value, axis) or 0
            continue
        behind = parts[computed[-1] + 1 :] if value is node.inputs[computed[-1]] else ()
        last_sizes = node.inputs[computed[-1] + 1 :] if behind else ()
        pads[axis + axes] = sum(patterns.size(other, axis) or 0 for other in last_sizes)
        padded.append(new.apply("Pad", value, new.sizes(*pads)) if any(pads) else value)
        pads = [0] * (2 * axes)
    first = padded[0]
    assert first is not None
    return first if len(padded) == 1 else new.apply("Concat", *padded, axis=axis)


def _constant_part(value: ir.Value | None) -> NDArray | None:
    """A constant that a Concat reads, also where it is repeated for every image."""
    node = None if value is None else value.producer()
    axes = patterns.rank(value)
    if node is not None and node.domain == "" and node.op_type == "Expand":
        elements = constants.array(node.inputs[0])
        if elements is None or axes is None or elements.ndim > axes:
            return None
        return elements.reshape((1,) * (axes - elements.ndim) + elements.shape)
    return constants.array(value)


def _pad(node: ir.Node) -> None:
    """A sum adds the number where zeros were put."""
    x, shape = node.inputs[0], patterns.sizes(node.inputs[0])
    pads, fill = constants.integers(node.inputs[1]), (*node.inputs[2:3], None)[0]
    number = constants.scalar(fill)
    if x is None or constants.is_constant(x) or shape is None or pads is None or len(pads) == 0:
        return
    if patterns.attribute(node, "mode", "constant") != "constant" or patterns.is_move(node):
        return
    if number is None or not np.isfinite(number) or len(node.inputs) > 3 or min(pads) < 0:
        return
    inner, axes = shape[1:], len(shape)
    if pads[0] or pads[axes] or not all(isinstance(size, int) for size in inner):
        return
    sizes = [size for size in inner if isinstance(size, int)]
    widths = [(pads[axis], pads[axis + axes]) for axis in range(axes)]
    border = np.pad(np.zeros((1, *sizes), np.float32), widths, constant_values=number)
    new = InPlaceOf(node)
    padded = new.apply("Pad", x, node.inputs[1])
    new.apply("Add", padded, new.constant(border, "border"))
    new.finish()


def _shrink(node: ir.Node) -> None:
    """Resize to the nearest of fewer elements, and linearly by whole factors to the middle of as
    many.
    """
    x = node.inputs[0]
    before, after = patterns.sizes(x), patterns.sizes(node.outputs[0])
    if x is None or constants.is_constant(x) or before is None or after is None:
        return
    if patterns.is_move(node) or patterns.is_pool(node) or "axes" in node.attributes:
        return
    scales = constants.array(node.inputs[2]) if len(node.inputs) > 2 else None
    by_scales = scales is not None and scales.size == len(before)
    moved = [
        axis
        for axis, (old, new) in enumerate(zip(before, after, strict=True))
        if (scales[axis] != 1 if by_scales and scales is not None else old != new)
    ]
    sizes = {axis: (before[axis], after[axis]) for axis in moved}
    if not moved or 0 in moved:
        return
    if not all(isinstance(size, int) for pair in sizes.values() for size in pair):
        return
    mode = patterns.attribute(node, "mode", "nearest")
    if mode == "nearest":
        _nearest(node, x, moved)
    elif mode == "linear" and len(before) == 4 and min(moved) >= 2:
        _middles(node, x, sizes)  # type: ignore[arg-type] # whole numbers, as just seen


def _nearest(node: ir.Node, x: ir.Value, moved: list[int]) -> None:
    """The elements that ONNX Runtime takes."""
    places = [_taken_by(node, axis) for axis in moved]
    if any(len(stretches(taken)) > _MOST_STRETCHES for taken in places):
        return
    new = InPlaceOf(node)
    for axis, taken in zip(moved, places, strict=True):
        x = new.taken(x, axis, taken)
    new.finish()


def _taken_by(node: ir.Node, axis: int) -> NDArray[np.int64]:
    """Which elements along an axis a Resize to the nearest takes: of their numbers, those left."""
    x, y = node.inputs[0], node.outputs[0]
    before, after = patterns.size(x, axis), patterns.size(y, axis)
    assert before is not None and after is not None
    numbers = ir.val("numbers", ir.DataType.FLOAT, (1, 1, 1, before))
    scales = constants.array(node.inputs[2]) if len(node.inputs) > 2 else None
    graph = ir.Graph([numbers], [], nodes=[], name="numbers", opset_imports={"": 21})
    operands: list[ir.Value | None] = [numbers, None]
    if scales is not None and scales.size:
        own = constants.add_initializer(
            graph, "scales", np.array([1, 1, 1, scales[axis]], np.float32)
        )
        operands.append(own)
    else:
        own = constants.add_initializer(graph, "sizes", np.array([1, 1, 1, after], np.int64))
        operands += [None, own]
    kept = ("coordinate_transformation_mode", "nearest_mode", "mode")
    attributes = {a.name: a.value for a in node.attributes.values() if a.name in kept}
    resize = ir.node("Resize", operands, attributes)
    resize.outputs[0].name, resize.outputs[0].type = "taken", numbers.type
    graph.append(resize)
    graph.outputs.append(resize.outputs[0])
    model = ir.Model(graph, ir_version=10)
    feed = {"numbers": np.arange(before, dtype=np.float32).reshape(1, 1, 1, -1)}
    return OnnxRuntime(model, threads=1).run_all(feed)["taken"].reshape(-1).astype(np.int64)


def _middles(node: ir.Node, x: ir.Value, sizes: Mapping[int, tuple[int, int]]) -> None:
    """By a factor of k from centre to centre: the middle one of k, or the mean of the middle two.
    sizes: by axis, before and after.
    """
    centred = ("half_pixel", "pytorch_half_pixel", "half_pixel_symmetric")
    coordinates = patterns.attribute(node, "coordinate_transformation_mode", "half_pixel")
    if coordinates not in centred or patterns.attribute(node, "antialias", 0):
        return
    if any(old % small or small == 1 for old, small in sizes.values()):
        return
    new = InPlaceOf(node)
    kernel, strides = [1, 1], [1, 1]
    for axis, (old, small) in sizes.items():
        factor = old // small
        first = (factor - 1) // 2
        if factor % 2:
            x = new.part(x, axis, first, old, factor)
        else:
            x = new.part(x, axis, first, old) if first else x
            kernel[axis - 2], strides[axis - 2] = 2, factor
    if max(kernel) > 1:
        new.apply("AveragePool", x, kernel_shape=kernel, strides=strides)
    new.finish()
