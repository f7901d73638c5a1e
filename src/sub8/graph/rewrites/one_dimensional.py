"""Convolutions and pooling over one axis as those over images of one row."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, patterns, rewire
from sub8.graph.rewrites.sinking import push_before
from sub8.numerics.windows import automatic_pads

_AXES = ("kernel_shape", "strides", "dilations", "output_padding")
_JOINED = frozenset({"Add", "Mul", "Sub", "Concat"})


def normalise_one_dimensional(graph: ir.Graph) -> None:
    """Conv, ConvTranspose, MaxPool, AveragePool and GlobalAveragePool of ``[B, C, L]`` on
    ``[B, C, 1, L]``. Needs inferred shapes.

    Tensors go into the second form before the first such node and out of it behind the last:
    functions, normalisation and sums between them are taken along.
    """
    if not any(_is_one_dimensional(node) for node in graph):
        return
    for node in patterns.standard_nodes(graph):
        if _is_one_dimensional(node):
            _lift(graph, node)
        elif node.op_type in _JOINED:
            _lift_joined(graph, node)


def _is_one_dimensional(node: ir.Node) -> bool:
    if node.domain != "" or not node.inputs or patterns.rank(node.inputs[0]) != 3:
        return False
    if node.op_type in ("Conv", "ConvTranspose"):
        weight = constants.array(node.inputs[1])
        plain = weight is not None and weight.ndim == 3 and weight.dtype == np.float32
        return plain and not constants.is_constant(node.inputs[0]) and _explicit(node, weight)
    if node.op_type == "MaxPool" and any(patterns.is_read(value) for value in node.outputs[1:]):
        return False
    return node.op_type == "GlobalAveragePool" or (
        node.op_type in ("MaxPool", "AveragePool") and _explicit(node, None)
    )


def _explicit(node: ir.Node, weight: NDArray | None) -> bool:
    """Whether the padding is given by numbers, as it then is."""
    mode = patterns.attribute(node, "auto_pad", "NOTSET")
    if mode in ("NOTSET", "") or node.op_type == "ConvTranspose":
        return mode in ("NOTSET", "") and "output_shape" not in node.attributes
    default = None if weight is None else weight.shape[2:]
    kernel = patterns.attribute(node, "kernel_shape", default)
    strides = patterns.attribute(node, "strides", (1,))
    dilations = patterns.attribute(node, "dilations", (1,)) if node.op_type == "Conv" else (1,)
    pads = automatic_pads(mode, kernel, strides, dilations, [patterns.size(node.inputs[0], 2)])
    if pads is None:
        return False
    node.attributes.pop("auto_pad")
    node.attributes["pads"] = ir.AttrInt64s("pads", [*pads[0], *pads[1]])
    return True


def _lift(graph: ir.Graph, node: ir.Node) -> None:
    x = node.inputs[0]
    assert x is not None
    attributes = {a.name: a.value for a in node.attributes.values()}
    for name in _AXES:
        if name in attributes:
            attributes[name] = ((0 if name == "output_padding" else 1), *attributes[name])
    if "pads" in attributes:
        begin, end = attributes["pads"]
        attributes["pads"] = (0, begin, 0, end)
    inputs: list[ir.Value | None] = [_rows(graph, node, x), *node.inputs[1:]]
    if len(node.inputs) > 1:
        weight = constants.array(node.inputs[1])
        assert weight is not None
        name = f"{node.inputs[1].name}"  # type: ignore[union-attr]
        inputs[1] = constants.add_initializer(graph, name, weight[:, :, None])
    lifted = ir.node(node.op_type, inputs, attributes, name=node.name)
    node.name = None
    _back(graph, node, lifted)


def _lift_joined(graph: ir.Graph, node: ir.Node) -> None:
    """Let a sum, product or concatenation of channels of tensors that come from that form stay in
    it.
    """
    rows = [_from_rows(value) for value in node.inputs]
    if any(value is None for value in rows) or len(set(rows)) < 2:
        return
    attributes = {a.name: a.value for a in node.attributes.values()}
    if node.op_type == "Concat" and attributes.get("axis") not in (1, -2):
        return
    if node.op_type == "Concat":
        attributes["axis"] = 1
    elif not patterns.same_shape(node.inputs[0], node.inputs[1]):
        return
    lifted = ir.node(node.op_type, rows, attributes, name=node.name)
    node.name = None
    _back(graph, node, lifted)


def _rows(graph: ir.Graph, node: ir.Node, x: ir.Value) -> ir.Value:
    """``x`` as images of one row."""
    known = _from_rows(x)
    if known is not None:
        return known
    shape = constants.add_initializer(graph, "sub8.rows", np.array([0, 0, 1, -1]))
    reshape = ir.node("Reshape", [x, shape], name=f"{x.name}.rows")
    out = reshape.outputs[0]
    out.name, out.type = f"{x.name}.rows", x.type
    if x.shape is not None:
        out.shape = ir.Shape([*x.shape[:2], 1, x.shape[2]])
    graph.insert_before(node, reshape)
    return out


def _from_rows(value: ir.Value | None) -> ir.Value | None:
    """What ``value`` was in the form of images of one row."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "Reshape" or node.domain != "":
        return None
    before, target = node.inputs[0], constants.integers(node.inputs[1])
    shape = patterns.sizes(before)
    in_rows = target == (0, 0, -1) and shape is not None and len(shape) == 4 and shape[2] == 1
    return before if in_rows else None


def _back(graph: ir.Graph, node: ir.Node, lifted: ir.Node) -> None:
    """Put ``lifted`` in the place of ``node``, and its result out of the form."""
    y, result = node.outputs[0], lifted.outputs[0]
    result.name, result.type = f"{y.name}.rows", y.type
    if y.shape is not None:
        result.shape = ir.Shape([*y.shape[:2], 1, y.shape[2]])
    shape = constants.add_initializer(graph, "sub8.line", np.array([0, 0, -1]))
    back = ir.node("Reshape", [result, shape], name=f"{y.name}.line")
    rewire.replace(node, lifted, back)
    push_before(graph, back, back.outputs[0], 3, _in_rows)
    moved = back.inputs[0]
    if moved is not None and moved is not result and y.shape is not None:
        for value in _between(result, moved):
            value.shape = result.shape


def _between(start: ir.Value, end: ir.Value) -> list[ir.Value]:
    found = [end]
    while found[-1] is not start:
        node = found[-1].producer()
        assert node is not None
        found.append(next(v for v in node.inputs if v is not None and not constants.is_constant(v)))
    return found


def _in_rows(elements: NDArray, axes: int, *, by_channel: bool) -> NDArray | None:
    """A constant that goes with ``[B, C, L]``, for ``[B, C, 1, L]``."""
    if by_channel:
        return elements
    shape = (1,) * (axes - elements.ndim) + elements.shape
    return elements.reshape(*shape[:2], 1, shape[2]) if len(shape) == 3 else None
