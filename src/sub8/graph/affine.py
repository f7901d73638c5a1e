"""Fold per-channel factors and shifts (batch norm, constant Mul and Add) into the layer before them."""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import UnsupportedModelError
from sub8.graph import constants, patterns, rewire


def fold_affine(graph: ir.Graph) -> None:
    """Fold BatchNormalization and constant Mul, Div, Add, Sub behind Conv, Gemm or MatMul into them.

    A batch norm that follows no layer becomes a depthwise 1x1 Conv where its input has rank 4.
    """
    for node in list(graph):
        affine = _affine(node)
        if affine is None:
            continue
        value, factor, shift = affine
        layer = _layer_of(value)
        outputs = None if layer is None else patterns.layer_bias(layer).shape[0]
        if layer is not None and factor.size in (1, outputs):
            if layer.op_type == "MatMul" and node.op_type == "Add" and factor.size == 1:
                continue  # the form in which a MatMul keeps its bias
            _fold(graph, layer, factor, shift)
            rewire.bypass(node, value)
        elif node.op_type == "BatchNormalization" and patterns.rank(value) == 4:
            _as_depthwise(graph, node, value, factor, shift)


def _layer_of(value: ir.Value) -> ir.Node | None:
    """The layer whose plain result (bias included) only one node reads."""
    producer = value.producer()
    if producer is None or patterns.only_user(value) is None:
        return None
    return producer if patterns.is_layer(producer) and patterns.bias_add(producer) is None else None


def _affine(node: ir.Node) -> tuple[ir.Value, NDArray[np.float64], NDArray[np.float64]] | None:
    """(x, factor, shift) where the node computes x * factor + shift by channel; both have shape [C] or [1]."""
    if node.domain != "":
        return None
    if node.op_type == "BatchNormalization":
        return _batch_norm(node)
    if node.op_type not in ("Mul", "Div", "Add", "Sub") or len(node.inputs) != 2:
        return None
    first, second = node.inputs
    if (
        constants.is_constant(first) == constants.is_constant(second)
        or first is None
        or second is None
    ):
        return None
    value, constant = (second, first) if constants.is_constant(first) else (first, second)
    by_channel = _by_channel(value, constants.array(constant))
    if by_channel is None or (node.op_type == "Div" and value is second):
        return None
    one, zero = np.ones(1), np.zeros(1)
    if node.op_type == "Mul":
        return value, by_channel, zero
    if node.op_type == "Div":
        return (value, 1.0 / by_channel, zero) if np.all(by_channel != 0) else None
    if node.op_type == "Add":
        return value, one, by_channel
    return (value, one, -by_channel) if value is first else (value, -one, by_channel)


def _batch_norm(node: ir.Node) -> tuple[ir.Value, NDArray[np.float64], NDArray[np.float64]] | None:
    if patterns.attribute(node, "training_mode", 0) != 0:
        raise UnsupportedModelError(
            f"node {node.name!r} is a batch norm in training mode; export the model in evaluation mode"
        )
    found = [constants.array(value) for value in node.inputs[1:5]]
    if any(elements is None for elements in found) or node.inputs[0] is None:
        return None
    gamma, beta, mean, variance = (np.asarray(elements, np.float64) for elements in found)
    factor = gamma / np.sqrt(variance + patterns.attribute(node, "epsilon", 1e-5))
    return node.inputs[0], factor, beta - mean * factor


def _by_channel(value: ir.Value, constant: NDArray | None) -> NDArray[np.float64] | None:
    """A constant operand that varies along the channel axis only, as [C] or [1]."""
    axes = patterns.rank(value)
    if constant is None or axes is None or constant.dtype != np.float32 or constant.ndim > axes:
        return None
    shape = (1,) * (axes - constant.ndim) + constant.shape
    channel = 1 if axes == 4 else axes - 1
    if any(size != 1 for axis, size in enumerate(shape) if axis != channel):
        return None
    return constant.reshape(-1).astype(np.float64)


def _fold(graph: ir.Graph, layer: ir.Node, factor: NDArray, shift: NDArray) -> None:
    weight = patterns.layer_weight(layer).astype(np.float64)
    bias = patterns.layer_bias(layer) * factor + shift
    weight = weight * np.broadcast_to(factor, weight.shape[:1]).reshape(
        -1, *(1,) * (weight.ndim - 1)
    )
    if layer.op_type == "MatMul":
        weight = weight.T
    set_constant(graph, layer, 1, weight.astype(np.float32))
    if layer.op_type != "MatMul":
        set_constant(graph, layer, 2, np.ascontiguousarray(bias, np.float32))
    elif np.any(bias):
        add = ir.node("Add", [layer.outputs[0], constants.add_initializer(
            graph, f"{layer.name}.bias", bias.astype(np.float32)
        )])  # fmt: skip
        users = list(layer.outputs[0].uses())
        graph.insert_after(layer, add)
        for use in users:
            if use.node is not add:
                use.node.replace_input_with(use.idx, add.outputs[0])


def set_constant(graph: ir.Graph, layer: ir.Node, index: int, elements: NDArray) -> None:
    """Replace a layer's weight (index 1) or bias (2); the initializer keeps its name where nobody shares it."""
    old = layer.inputs[index] if index < len(layer.inputs) else None
    name = f"{layer.name}.{'weight' if index == 1 else 'bias'}"
    if (
        old is not None
        and len(old.uses()) == 1
        and old.name is not None
        and not old.is_graph_output()
    ):
        layer.replace_input_with(index, None)
        graph.initializers.pop(old.name, None)
        name = old.name
    layer.resize_inputs(max(index + 1, len(layer.inputs)))
    layer.replace_input_with(index, constants.add_initializer(graph, name, elements))


def _as_depthwise(
    graph: ir.Graph, node: ir.Node, value: ir.Value, factor: NDArray, shift: NDArray
) -> None:
    channels = factor.shape[0]
    name = node.name or node.outputs[0].name
    weight = constants.add_initializer(
        graph, f"{name}.weight", factor.reshape(channels, 1, 1, 1).astype(np.float32)
    )
    bias = constants.add_initializer(graph, f"{name}.bias", shift.astype(np.float32))
    conv = ir.node(
        "Conv", [value, weight, bias], {"group": channels, "kernel_shape": (1, 1)}, name=name
    )
    rewire.replace(node, conv)
