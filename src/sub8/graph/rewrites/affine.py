"""Fold per-channel factors and shifts (batch norm, constant Mul and Add) into the layer before
them.
"""

from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.errors import UnsupportedModelError
from sub8.graph import constants, patterns, rewire
from sub8.graph.naming import node_name


@dataclass(frozen=True, eq=False)
class Affine:
    """``value * factor + shift``, both ``[C]`` along ``axis`` of ``value``, or ``[1]`` where axis
    is None.
    """

    value: ir.Value
    axis: int | None
    factor: NDArray[np.float64]
    shift: NDArray[np.float64]


def fold_affine(graph: ir.Graph) -> None:
    """Fold BatchNormalization and constant Mul, Div, Add, Sub behind Conv, Gemm or MatMul into
    them.

    Only what varies along the axis that counts the layer's outputs is folded: axis 1 behind Conv
    and Gemm, the last behind MatMul. A batch norm that follows no such layer becomes a depthwise
    1x1 Conv where its input has rank 4.
    """
    for node in list(graph):
        affine = _affine(node)
        if (
            affine is None
            or constants.is_constant(affine.value)
            or not (np.isfinite(affine.factor).all() and np.isfinite(affine.shift).all())
        ):
            continue
        layer = _layer_of(affine.value)
        if layer is not None and _fits(affine, layer):
            add = patterns.bias_add(layer)
            if add is node:
                continue  # the form in which a MatMul keeps its bias
            result = _fold(graph, layer, add, affine)
            rewire.bypass(node, result)
        elif node.op_type == "BatchNormalization" and patterns.rank(affine.value) == 4:
            _as_depthwise(graph, node, affine)


def _layer_of(value: ir.Value) -> ir.Node | None:
    """The layer whose plain result (bias included) only one node reads."""
    producer = value.producer()
    if producer is None or patterns.only_user(value) is None:
        return None
    if patterns.is_layer(producer):
        return producer
    for operand in patterns.activations(producer):
        source = operand.producer()
        if (
            source is not None
            and patterns.is_layer(source)
            and patterns.bias_add(source) is producer
        ):
            return source
    return None


def _fits(affine: Affine, layer: ir.Node) -> bool:
    """Whether factor and shift vary along the axis of the layer's outputs, or not at all."""
    if affine.axis is None:
        return True
    channel = 1
    if layer.op_type == "MatMul":
        axes = patterns.rank(layer.inputs[0])
        assert axes is not None
        channel = axes - 1
    return affine.axis == channel and affine.factor.size == patterns.layer_outputs(layer)


def _affine(node: ir.Node) -> Affine | None:
    if node.domain != "":
        return None
    if node.op_type == "BatchNormalization":
        return batch_norm(node)
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
    found = _by_axis(value, constants.array(constant))
    if found is None or (node.op_type == "Div" and value is second):
        return None
    axis, numbers = found
    one, zero = np.ones_like(numbers), np.zeros_like(numbers)
    if node.op_type == "Mul":
        return Affine(value, axis, numbers, zero)
    if node.op_type == "Div":
        return Affine(value, axis, 1.0 / numbers, zero) if np.all(numbers != 0) else None
    if node.op_type == "Add":
        return Affine(value, axis, one, numbers)
    if value is first:
        return Affine(value, axis, one, -numbers)
    return Affine(value, axis, -one, numbers)


def batch_norm(node: ir.Node) -> Affine | None:
    """What a batch norm does with every channel, along axis 1; None where that is not constant, or
    its further results are read.
    """
    if patterns.attribute(node, "training_mode", 0) != 0:
        raise UnsupportedModelError(
            f"node {node.name!r} is a batch norm in training mode; export the model in evaluation "
            "mode"
        )
    found = [constants.array(value) for value in node.inputs[1:5]]
    if any(elements is None for elements in found) or node.inputs[0] is None:
        return None
    if any(patterns.is_read(value) for value in node.outputs[1:]):
        return None
    gamma, beta, mean, variance = (np.asarray(elements, np.float64) for elements in found)
    factor = gamma / np.sqrt(variance + patterns.attribute(node, "epsilon", 1e-5))
    return Affine(node.inputs[0], 1, factor, beta - mean * factor)


def _by_axis(
    value: ir.Value, constant: NDArray | None
) -> tuple[int | None, NDArray[np.float64]] | None:
    """A constant operand as ``[C]`` along the one axis that it varies along, ``[1]`` where along
    none.
    """
    axes = patterns.rank(value)
    if constant is None or axes is None or constant.dtype != np.float32 or constant.ndim > axes:
        return None
    wide = [axis for axis, size in enumerate(constant.shape) if size != 1]
    if len(wide) > 1:
        return None
    numbers = constant.reshape(-1).astype(np.float64)
    return (axes - constant.ndim + wide[0], numbers) if wide else (None, numbers)


def _fold(graph: ir.Graph, layer: ir.Node, add: ir.Node | None, affine: Affine) -> ir.Value:
    """Work factor and shift into the layer and its bias ``add``; the value that now holds the
    result.
    """
    outputs = patterns.layer_outputs(layer)
    factor, shift = (np.broadcast_to(part, (outputs,)) for part in (affine.factor, affine.shift))
    bias = (patterns.layer_bias(layer) * factor + shift).astype(np.float32)
    if np.any(factor != 1.0):
        weight = patterns.layer_weight(layer).astype(np.float64)
        weight = weight * factor.reshape(-1, *(1,) * (weight.ndim - 1))
        if layer.op_type == "MatMul":
            weight = weight.T
        set_constant(graph, layer, 1, weight.astype(np.float32))
    if layer.op_type != "MatMul":
        set_constant(graph, layer, 2, bias)
        return layer.outputs[0]
    if add is not None:
        operand = 1 if add.inputs[0] is layer.outputs[0] else 0
        stored = constants.add_initializer(graph, f"{layer.name}.bias", bias)
        add.replace_input_with(operand, stored)
        return add.outputs[0]
    if not np.any(bias):
        return layer.outputs[0]
    stored = constants.add_initializer(graph, f"{layer.name}.bias", bias)
    add = ir.node("Add", [layer.outputs[0], stored])
    add.outputs[0].type, add.outputs[0].shape = layer.outputs[0].type, layer.outputs[0].shape
    graph.insert_after(layer, add)
    for use in list(layer.outputs[0].uses()):
        if use.node is not add:
            use.node.replace_input_with(use.idx, add.outputs[0])
    return add.outputs[0]


def set_constant(graph: ir.Graph, layer: ir.Node, index: int, elements: NDArray) -> None:
    """Replace a layer's weight (index 1) or bias (2); the initializer keeps its name where nobody
    shares it.
    """
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


def _as_depthwise(graph: ir.Graph, node: ir.Node, affine: Affine) -> None:
    channels = affine.factor.shape[0]
    name = node_name(node)
    weight = constants.add_initializer(
        graph, f"{name}.weight", affine.factor.reshape(channels, 1, 1, 1).astype(np.float32)
    )
    bias = constants.add_initializer(graph, f"{name}.bias", affine.shift.astype(np.float32))
    conv = ir.node(
        "Conv",
        [affine.value, weight, bias],
        {"group": channels, "kernel_shape": (1, 1)},
        name=name,
    )
    rewire.replace(node, conv)
