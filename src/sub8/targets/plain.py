"""The target ``onnx-plain``: what every runtime has had for years, and nothing to be fused.

Opset 13, integers of 8 bits, no blocks, no local functions. Numbers are the artifact's: every
DequantizeLinear becomes what it means, ``Mul(Sub(Cast(integers), zero_point), scale)``. A runtime
computes those of the weights once, at load. No DequantizeLinear is left, so no optimiser finds the
Q/DQ patterns that it would replace by integer operators of its own, which round differently.
"""

import numpy as np
import onnx_ir as ir
import onnx_ir.passes.common as passes

from sub8.errors import UnsupportedModelError
from sub8.graph import constants, patterns
from sub8.graph.functions import DOMAIN
from sub8.graph.inference import infer_shapes
from sub8.graph.new_nodes import Writer
from sub8.graph.quantization import use_standard_domain
from sub8.graph.rewire import replace
from sub8.graph.rewrites.inlining import inline_functions
from sub8.numerics.cluster import ClusteredWeight
from sub8.targets.layers import read_weight, remove_unread
from sub8.targets.opsets import in_opset
from sub8.targets.stored import widen
from sub8.targets.target import Rewritten, Samples, Target

_OPSET = 13
_UNKNOWN = (ir.DataType.INT2, ir.DataType.UINT2, ir.DataType.INT4, ir.DataType.UINT4)
_LIMITS = {ir.DataType.UINT8: (0, 255), ir.DataType.INT8: (-128, 127)}


def _rewrite(model: ir.Model, samples: Samples) -> Rewritten:
    plain = model.clone()
    use_standard_domain(plain)
    inline_functions(plain)
    plain.functions.clear()
    plain.graph.opset_imports.pop(DOMAIN, None)
    passes.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(plain)
    passes.DeduplicateInitializersPass()(plain)
    infer_shapes(plain)
    widen(plain, _UNKNOWN)
    writer = Writer(plain.graph)
    for node in list(plain.graph):
        if node.domain == "" and node.op_type in ("Conv", "Gemm", "MatMul"):
            _weight(writer, node)
    remove_unread(plain)
    for node in list(plain.graph):
        if node.domain == "" and node.op_type == "DequantizeLinear":
            _dequantize(writer, node)
        elif node.domain == "" and node.op_type == "QuantizeLinear":
            _quantize(writer, node)
    return Rewritten(in_opset(plain, _OPSET))


def _weight(writer: Writer, node: ir.Node) -> None:
    """A layer's weight in the shape that the layer reads: a Reshape behind the scales, as the
    artifact has, is more than OpenVINO takes.
    """
    try:
        weight = read_weight(node)
    except UnsupportedModelError:
        return  # as any other constant
    if weight is None:
        return
    name = str(node.name)
    total: ir.Value | None = None
    for index, term in enumerate(weight.terms):
        part = _term(writer, node, f"{name}.weight.{index}", term, weight.transposed)
        if total is not None:
            part = writer.before(node, "Add", [total, part], f"weight.sum{index}")
        total = part
    node.replace_input_with(1, total)


def _term(
    writer: Writer, node: ir.Node, name: str, term: ClusteredWeight, transposed: bool
) -> ir.Value:
    axes = term.values.ndim
    per_channel = (-1, *[1] * (axes - 1))
    scale = term.alpha.reshape(*term.alpha.shape, *[1] * (axes - 2)).astype(np.float32)
    unit = np.ones(1, np.float32) if term.channel_scale is None else term.channel_scale
    unit = np.ldexp(unit, term.exponent).astype(np.float32).reshape(per_channel)
    values = term.values
    if transposed:
        scale, unit, values = scale.T, unit.T, values.T
    stored = writer.constant(values, f"{name}.values")
    alphas = writer.constant(scale.astype(np.uint8), f"{name}.alpha")
    real = _real_constant(writer, node, stored, "weight")
    multiple = _real_constant(writer, node, alphas, "alpha")
    scaled = writer.before(node, "Mul", [multiple, writer.constant(unit)], "scale")
    if term.alpha.shape[1] > 1:
        index = writer.constant(np.arange(term.values.shape[1]) // term.cluster)
        axis = 0 if transposed else 1
        scaled = writer.before(node, "Gather", [scaled, index], "scales", axis=axis)
    return writer.before(node, "Mul", [real, scaled], "scaled")


def _dequantize(writer: Writer, node: ir.Node) -> None:
    """``(x - zero_point) * scale`` in the place of a DequantizeLinear."""
    x, scale, zero = _operands(node)
    block, shape = int(patterns.attribute(node, "block_size", 0)), x.shape
    if patterns.attribute(node, "output_dtype", 0) not in (0, int(ir.DataType.FLOAT)) or (
        block and zero is not None
    ):
        raise _without_form(node, "a result of another type than float32, or blocked zero points")
    if constants.follows_from_constants(x):
        real = _real_constant(writer, node, x, "cast")
    else:
        real = writer.before(node, "Cast", [x], "cast", to=int(ir.DataType.FLOAT))
    if zero is not None:
        zero = _aligned(writer, node, zero)
        offset = writer.before(node, "Cast", [zero], "zero", to=int(ir.DataType.FLOAT))
        real = writer.before(node, "Sub", [real, offset], "offset")
    if not block:
        replace(node, ir.node("Mul", [real, _aligned(writer, node, scale)]))
        return
    if shape is None or not shape.is_static():
        raise _without_form(node, "blocks of a tensor of unknown shape")
    whole = shape.numpy()
    axis = _axis(node, len(whole))
    length = whole[axis]
    if patterns.size(scale, axis) == 1:
        replace(node, ir.node("Mul", [real, scale]))
    elif length % block == 0:  # [.., blocks, block, ..] times [.., blocks, 1, ..]
        cut = (*whole[:axis], length // block, block, *whole[axis + 1 :])
        real = writer.before(node, "Reshape", [real, writer.sizes(*cut)], "blocks")
        wide = writer.before(node, "Unsqueeze", [scale, writer.sizes(axis + 1)], "wide")
        scaled = writer.before(node, "Mul", [real, wide], "scaled")
        replace(node, ir.node("Reshape", [scaled, writer.sizes(*whole)]))
    else:
        index = writer.constant(np.arange(length) // block)
        repeated = writer.before(node, "Gather", [scale, index], "repeated", axis=axis)
        replace(node, ir.node("Mul", [real, repeated]))


def _real_constant(writer: Writer, node: ir.Node, x: ir.Value, name: str) -> ir.Value:
    """Constant integers as float32.

    The Clip changes nothing. OpenVINO takes 8-bit constants that are converted and at once scaled
    for weights of its integer kernels, which saturate where a CPU lacks VNNI.
    """
    real = writer.before(node, "Cast", [x], name, to=int(ir.DataType.FLOAT))
    low, high = (writer.constant(np.float32(limit)) for limit in (-(2**31), 2**31))
    return writer.before(node, "Clip", [real, low, high], f"{name}.kept")


def _quantize(writer: Writer, node: ir.Node) -> None:
    """A QuantizeLinear of opset 13, or single steps: where its scale is no constant, as many
    runtimes want one, and where 0 is not the lowest integer. OpenVINO adds the distance before it
    rounds, and so loses bits of what lies close to halves.
    """
    x, scale, zero = _operands(node)
    kind = int(patterns.attribute(node, "output_dtype", 0))
    stored = zero.dtype if zero is not None else ir.DataType(kind or int(ir.DataType.UINT8))
    if stored not in _LIMITS or patterns.attribute(node, "block_size", 0):
        raise _without_form(node, "blocks of activations, and other types than int8 and uint8")
    node.attributes.pop("output_dtype", None)
    if constants.follows_from_constants(scale) and stored == ir.DataType.UINT8 and _is_zero(zero):
        if len(node.inputs) < 3 or zero is None:
            node.resize_inputs(3)
            elements = constants.array(scale)
            shape = () if elements is None else elements.shape
            node.replace_input_with(2, writer.constant(np.zeros(shape, stored.numpy())))
        return
    low, high = (writer.constant(np.float32(limit)) for limit in _LIMITS[stored])
    whole = writer.before(node, "Div", [x, _aligned(writer, node, scale)], "divided")
    whole = writer.before(node, "Round", [whole], "rounded")
    if zero is not None:
        zero = _aligned(writer, node, zero)
        offset = writer.before(node, "Cast", [zero], "zero", to=int(ir.DataType.FLOAT))
        whole = writer.before(node, "Add", [whole, offset], "offset")
    whole = writer.before(node, "Clip", [whole, low, high], "clipped")
    replace(node, ir.node("Cast", [whole], {"to": int(stored)}))


def _is_zero(zero: ir.Value | None) -> bool:
    elements = constants.array(zero)
    return zero is None or (elements is not None and not elements.any())


def _operands(node: ir.Node) -> tuple[ir.Value, ir.Value, ir.Value | None]:
    """Input, scale and zero point, that None where it is 0."""
    x, scale = node.inputs[0], node.inputs[1]
    assert x is not None and scale is not None
    zero = node.inputs[2] if len(node.inputs) > 2 else None
    elements = constants.array(zero)
    if node.op_type == "DequantizeLinear" and elements is not None and not elements.any():
        zero = None
    return x, scale, zero


def _aligned(writer: Writer, node: ir.Node, scale: ir.Value) -> ir.Value:
    """A scale, or zero point, with as many axes as its tensor: one number, or one for each index
    of an axis.
    """
    if patterns.rank(scale) == 0 or patterns.sizes(scale) == (1,):
        return scale
    axes = patterns.rank(node.inputs[0])
    if axes is None or patterns.rank(scale) != 1:
        raise _without_form(node, "a scale of unknown shape, or whose tensor's rank is unknown")
    shape = [1] * axes
    shape[_axis(node, axes)] = -1
    return writer.before(node, "Reshape", [scale, writer.sizes(*shape)], "aligned")


def _axis(node: ir.Node, axes: int) -> int:
    axis = int(patterns.attribute(node, "axis", 1))
    if not -axes <= axis < axes:
        raise _without_form(node, f"the axis {axis} of {axes}")
    return axis % axes


def _without_form(node: ir.Node, what: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"node {str(node.name)!r} ({node.op_type}): {what} has no plain form; "
        "export to the target 'onnx'"
    )


PLAIN = Target(
    "onnx-plain",
    "any runtime: opset 13, 8-bit integers and products by scales",
    True,
    (False, True),
    _rewrite,
)
