"""One index of an axis of a transposed tensor, taken before the transposition.

Queries, keys and values lie side by side in one result, ``[B, T, 3, heads, D]``; exporters move the
3 to the front and take one after the other from there. Where batch and length are both open, no
Reshape with a constant shape can drop that axis behind the transposition, but one can before it.
"""

import numpy as np
import onnx_ir as ir

from sub8.graph import constants, new_nodes, patterns, rewire


def unbind_before_transpose(graph: ir.Graph) -> None:
    """Transpose -> Slice or Split of one index -> Squeeze becomes Slice -> Reshape -> Transpose.

    Needs inferred shapes."""
    for node in patterns.standard_nodes(graph):
        if node.op_type == "Squeeze":
            _unbind(graph, node)


def _unbind(graph: ir.Graph, squeeze: ir.Node) -> None:
    part, result = squeeze.inputs[0], squeeze.outputs[0]
    axes = constants.integers(squeeze.inputs[1]) if len(squeeze.inputs) > 1 else None
    chosen = None if part is None else _one_index(part)
    if chosen is None or axes is None or len(axes) != 1 or part is None or part.shape is None:
        return
    moved, axis, index = chosen
    transpose = moved.producer()
    if axes[0] % len(part.shape) != axis or transpose is None or transpose.op_type != "Transpose":
        return
    x, perm = transpose.inputs[0], patterns.attribute(transpose, "perm", None)
    if x is None or x.shape is None or perm is None:
        return
    place = perm[axis]
    rest = ir.Shape([*x.shape[:place], *x.shape[place + 1 :]])
    flat = ir.Value(name=None, shape=rest, type=x.type)
    whole = ir.Value(name=None, shape=ir.Shape([*x.shape[:place], 1, *x.shape[place + 1 :]]))
    target = patterns.reshape_target(whole, flat)
    if target is None:
        return
    taken = new_nodes.part(graph, x, place, index, index + 1, str(result.name))
    shape = constants.add_initializer(graph, f"{result.name}.shape", np.array(target, np.int64))
    dropped = new_nodes.shaped(ir.node("Reshape", [taken.outputs[0], shape]), x, rest)
    kept = tuple(old - (old > place) for old in perm if old != place)
    rewire.replace(
        squeeze, taken, dropped, ir.node("Transpose", [dropped.outputs[0]], {"perm": kept})
    )


def _one_index(part: ir.Value) -> tuple[ir.Value, int, int] | None:
    """The tensor, its axis and the index of which ``part`` is the only one."""
    node = part.producer()
    x = None if node is None or node.domain != "" else node.inputs[0]
    if node is None or x is None or x.shape is None:
        return None
    if node.op_type == "Split":
        axis = int(patterns.attribute(node, "axis", 0)) % len(x.shape)
        if patterns.size(x, axis) != len(node.outputs):
            return None
        return x, axis, node.outputs.index(part)
    if node.op_type != "Slice" or len(node.inputs) < 4:
        return None
    starts, ends, axes = (constants.integers(value) for value in node.inputs[1:4])
    if starts is None or ends is None or axes is None or len(axes) != 1:
        return None
    axis = axes[0] % len(x.shape)
    size = patterns.size(x, axis)
    if size is None:
        return None
    begin = starts[0] + size if starts[0] < 0 else starts[0]
    end = min(ends[0] + size if ends[0] < 0 else ends[0], size)
    return (x, axis, begin) if end == begin + 1 and begin >= 0 else None
