"""Normal forms of pooling, padding and reshaping."""

import math

import numpy as np
import onnx_ir as ir

from sub8.graph import constants, patterns, rewire
from sub8.graph.new_nodes import part, shaped
from sub8.numerics.windows import automatic_pads


def normalise_spatial(graph: ir.Graph) -> None:
    """ReduceMean over space or tokens -> GlobalAveragePool; Gather of indices in a row -> Slice;
    GlobalLpPool -> ReduceL1, ReduceL2; auto_pad,
    zero Pad before Conv and Pad with minus infinity before MaxPool -> explicit pads; Flatten,
    Squeeze, Unsqueeze and computed Reshape targets -> Reshape with a constant shape; Sum -> Add;
    Min and Max with a number -> Clip. Needs inferred shapes."""
    for node in patterns.standard_nodes(graph):
        if node.op_type == "ReduceMean":
            _global_average(graph, node)
        elif node.op_type == "Gather":
            _gather(graph, node)
        elif node.op_type == "GlobalLpPool":
            _global_norm(graph, node)
        elif node.op_type in ("Flatten", "Squeeze", "Unsqueeze", "Reshape"):
            _reshape(graph, node)
        elif node.op_type in ("Conv", "MaxPool", "AveragePool"):
            _explicit_padding(node)
            _absorb_pad(node)
        elif node.op_type == "Sum" and len(node.inputs) > 1:
            _sum(node)
        elif node.op_type in ("Min", "Max") and len(node.inputs) == 2:
            _clip(graph, node)


def _global_average(graph: ir.Graph, node: ir.Node) -> None:
    x = node.inputs[0]
    axes = constants.integers(node.inputs[1]) if len(node.inputs) > 1 else None
    sizes = patterns.sizes(x)
    if x is None or axes is None or sizes is None or not patterns.is_float(x):
        return
    before = _planes_last(graph, x, {axis % len(sizes) for axis in axes}, node.outputs[0])
    if before is None:
        return
    kept = bool(patterns.attribute(node, "keepdims", 1))
    planes = before[-1].outputs[0] if before else x
    pool = ir.node("GlobalAveragePool", [planes])
    if kept and not before:
        rewire.replace(node, pool)
        return
    target = {3: (0, 1, -1), 4: (0, 1, 1, -1)}[len(sizes)] if kept else (0, -1)
    shape = constants.add_initializer(graph, f"{node.outputs[0].name}.shape", np.array(target))
    pool.outputs[0].type = node.outputs[0].type
    assert planes.shape is not None
    pool.outputs[0].shape = ir.Shape([*planes.shape[:2], 1, 1])
    rewire.replace(node, *before, pool, ir.node("Reshape", [pool.outputs[0], shape]))


def _planes_last(
    graph: ir.Graph, x: ir.Value, axes: set[int], result: ir.Value
) -> list[ir.Node] | None:
    """What turns ``x`` into ``[B, C, H, W]`` whose planes are to be averaged: of images with their
    channels last, or of tokens ``[B, T, C]``; None where ``axes`` are none of these.
    """
    assert x.shape is not None
    if len(x.shape) == 4 and axes == {2, 3}:
        return []
    if len(x.shape) == 4 and axes == {1, 2}:
        batch, height, width, channels = x.shape
        return [shaped(ir.node("Transpose", [x], {"perm": (0, 3, 1, 2)}), x,
                      [batch, channels, height, width])]  # fmt: skip
    if len(x.shape) == 3 and axes == {1}:
        batch, tokens, channels = x.shape
        target = constants.add_initializer(
            graph, f"{result.name}.tokens", np.array([0, 0, -1, 1], np.int64)
        )
        rows = shaped(ir.node("Reshape", [x, target]), x, [batch, tokens, channels, 1])
        planes = ir.node("Transpose", [rows.outputs[0]], {"perm": (0, 2, 1, 3)})
        return [rows, shaped(planes, x, [batch, channels, tokens, 1])]
    return None


def _gather(graph: ir.Graph, node: ir.Node) -> None:
    """Gather of one index, or of several in a row, as a Slice."""
    x, result, indices = node.inputs[0], node.outputs[0], constants.array(node.inputs[1])
    if x is None or x.shape is None or not patterns.is_float(x) or constants.is_constant(x):
        return
    if indices is None or indices.ndim > 1 or indices.size == 0:
        return
    axis = int(patterns.attribute(node, "axis", 0)) % len(x.shape)
    size = patterns.size(x, axis)
    chosen = indices.reshape(-1).astype(np.int64)
    if size is not None:
        chosen = np.where(chosen < 0, chosen + size, chosen)
    begin, end = int(chosen[0]), int(chosen[-1]) + 1
    if (np.diff(chosen) != 1).any() or begin < 0 or (size is not None and end > size):
        return
    row = part(graph, x, axis, begin, end, str(result.name))
    if indices.ndim == 1:
        rewire.replace(node, row)
        return
    target = _shape_for_any_batch(row.outputs[0], result)
    op_type, numbers = ("Squeeze", (axis,)) if target is None else ("Reshape", target)
    name = f"{result.name}.{op_type.lower()}"
    operand = constants.add_initializer(graph, name, np.array(numbers, np.int64))
    rewire.replace(node, row, ir.node(op_type, [row.outputs[0], operand]))


def _global_norm(graph: ir.Graph, node: ir.Node) -> None:
    """ONNX Runtime lacks GlobalLpPool of the artifact's opset, but has the norms it stands for."""
    x = node.inputs[0]
    op_type = {1: "ReduceL1", 2: "ReduceL2"}.get(patterns.attribute(node, "p", 2))
    rank = patterns.rank(x)
    if x is None or op_type is None or rank is None:
        return
    name = f"{node.outputs[0].name}.axes"
    axes = constants.add_initializer(graph, name, np.arange(2, rank))
    rewire.replace(node, ir.node(op_type, [x, axes], {"keepdims": 1}))


def _reshape(graph: ir.Graph, node: ir.Node) -> None:
    """Express the node as a Reshape whose constant shape fits every batch size, where one
    exists.
    """
    x, y = node.inputs[0], node.outputs[0]
    if x is None or not patterns.is_float(x) or constants.is_constant(x):
        return
    target = constants.integers(node.inputs[1]) if node.op_type == "Reshape" else None
    if target is not None:
        zeros_copy = patterns.attribute(node, "allowzero", 0) == 0
        if zeros_copy or 0 not in target:
            node.attributes.pop("allowzero", None)
        return
    if node.op_type == "Flatten" and patterns.attribute(node, "axis", 1) == 1:
        target = (0, -1)
    else:
        target = _shape_for_any_batch(x, y)
    if target is not None:
        shape = constants.add_initializer(graph, f"{y.name}.shape", np.array(target, np.int64))
        rewire.replace(node, ir.node("Reshape", [x, shape]))


def _shape_for_any_batch(x: ir.Value, y: ir.Value) -> tuple[int, ...] | None:
    if x.shape is None or y.shape is None:
        return None
    return None if 0 in y.shape else patterns.reshape_target(x, y)


def _explicit_padding(node: ir.Node) -> None:
    mode = patterns.attribute(node, "auto_pad", "NOTSET")
    kernel = patterns.attribute(node, "kernel_shape", None)
    weight = constants.array(node.inputs[1]) if node.op_type == "Conv" else None
    if kernel is None and weight is not None:
        kernel = weight.shape[2:]
    if mode == "NOTSET" or kernel is None:
        return
    strides = patterns.attribute(node, "strides", (1,) * len(kernel))
    dilations = patterns.attribute(node, "dilations", (1,) * len(kernel))
    if node.op_type != "Conv":
        dilations = (1,) * len(kernel)  # as ONNX Runtime pads; the result is smaller than ONNX says
    lengths = [patterns.size(node.inputs[0], axis + 2) for axis in range(len(kernel))]
    pads = automatic_pads(mode, kernel, strides, dilations, lengths)
    halving = node.op_type == "MaxPool" and set(kernel) == set(strides) == {2}
    if pads is None and halving and mode == "SAME_UPPER":
        # Of an odd size the last window lacks its second half, which is what a ceiling leaves.
        node.attributes["ceil_mode"] = ir.AttrInt64("ceil_mode", 1)
        pads = (0,) * len(kernel), (0,) * len(kernel)
    if pads is None:
        return  # depends on the image's size: stays as it is, and so in float
    node.attributes.pop("auto_pad")
    node.attributes["pads"] = ir.AttrInt64s("pads", [*pads[0], *pads[1]])


def _absorb_pad(node: ir.Node) -> None:
    """Take what a preceding constant Pad adds in height and width into the node's own padding.

    A convolution's own padding is zeros, a maximum's is minus infinity.
    """
    pad = node.inputs[0].producer() if node.inputs[0] is not None else None
    own_fill = {"Conv": 0.0, "MaxPool": -math.inf}.get(node.op_type)
    if pad is None or pad.op_type != "Pad" or pad.domain != "" or own_fill is None:
        return
    if (
        patterns.attribute(node, "auto_pad", "NOTSET") != "NOTSET"
        or patterns.rank(pad.inputs[0]) != 4
    ):
        return
    padded = pad.inputs[0]
    arguments = [*pad.inputs[1:], None, None, None][:3]
    value = 0.0 if arguments[1] is None else constants.scalar(arguments[1])
    pads = constants.integers(arguments[0])
    if (
        padded is None
        or pads is None
        or value != own_fill
        or patterns.attribute(pad, "mode", "constant") != "constant"
    ):
        return
    axes = range(4) if arguments[2] is None else constants.integers(arguments[2])
    if axes is None:
        return
    full = [0] * 8
    for index, axis in enumerate(axes):
        full[axis % 4], full[axis % 4 + 4] = pads[index], pads[index + len(pads) // 2]
    if min(full) < 0 or full[0] or full[1] or full[4] or full[5]:
        return
    own = patterns.attribute(node, "pads", (0, 0, 0, 0))
    extra = (full[2], full[3], full[6], full[7])
    pads = tuple(a + b for a, b in zip(own, extra, strict=True))
    if node.op_type == "MaxPool" and (
        max(pads) >= min(patterns.attribute(node, "kernel_shape", (1,)))
        or patterns.attribute(node, "ceil_mode", 0)
        or any(patterns.is_read(indices) for indices in node.outputs[1:])
    ):
        return  # a window may lie in the padding alone, or is counted differently there
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)
    node.replace_input_with(0, padded)


def _sum(node: ir.Node) -> None:
    adds = [ir.node("Add", node.inputs[:2])]
    for value in node.inputs[2:]:
        adds[-1].outputs[0].type = node.outputs[0].type
        adds.append(ir.node("Add", [adds[-1].outputs[0], value]))
    rewire.replace(node, *adds)


def _clip(graph: ir.Graph, node: ir.Node) -> None:
    bounds = [value for value in node.inputs if constants.is_constant(value)]
    values = patterns.activations(node)
    if len(bounds) != 1 or len(values) != 1 or constants.scalar(bounds[0]) is None:
        return
    if not patterns.is_float(values[0]) or not patterns.is_float(node.outputs[0]):
        return
    number = np.array(constants.scalar(bounds[0]), np.float32)
    bound = constants.add_initializer(graph, f"{node.outputs[0].name}.bound", number)
    inputs = [values[0], bound] if node.op_type == "Max" else [values[0], None, bound]
    rewire.replace(node, ir.node("Clip", inputs))
