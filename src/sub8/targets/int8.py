"""The targets ``onnx-int8`` and ``onnx-int8-reduced``, and what ``openvino-int8`` is made of:
plain per-channel 8-bit Q/DQ, the form that int8 runtimes run fast.

What their optimisers look for, and only that: ``DequantizeLinear`` in front of every operand of a
layer, ``QuantizeLinear`` behind it, weights int8 with one scale per output channel, the bias int32
in units of input scale times weight scale, activations uint8 (int8 ones get the zero point 128,
the same numbers). So alpha times t is one integer here, exact where it fits 8 bits; a sum's operand
that comes from a layer is rounded once more, to a format taken from the samples.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.engine.reader.state import bounds_of_clip
from sub8.engine.reader.weights import real_values
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph import constants, dynamic, functions, patterns
from sub8.graph.inference import infer_shapes
from sub8.graph.new_nodes import Writer
from sub8.graph.quantization import use_standard_domain
from sub8.numerics.accumulators import LARGEST_INT32, aligned_integers, finest_exponent
from sub8.oracle import OnnxRuntime
from sub8.targets.layers import LayerWeight, read_weight, remove_unread
from sub8.targets.opsets import in_opset
from sub8.targets.target import Rewritten, Samples, Target

_OPSET = 13
_LARGEST = 127
# Twice 255 times this fits 16 bits, in which x86 CPUs without VNNI add pairs of products.
_LARGEST_UNSATURATED = 64
_LAYERS = ("Conv", "Gemm", "MatMul")


@dataclass(frozen=True, eq=False)
class _Folded:
    """A weight as int8 ``[O, I, *kernel]`` and one scale per channel, float32 ``[O]``. exact: it is
    the artifact's number.
    """

    values: NDArray[np.int8]
    scale: NDArray[np.float32]
    exact: bool


def int8_form(
    model: ir.Model, samples: Samples, *, clips_in_front: bool, largest: int = _LARGEST
) -> Rewritten:
    """The model in that form, weights up to ``largest``.

    clips_in_front: whether a Clip of a layer's result stays in front of the QuantizeLinear, where
    OpenVINO makes it part of the layer and where ONNX Runtime does not find the layer any more; or
    goes behind it, where it costs both a pass over 8-bit integers.
    """
    _refuse_dynamic(model)
    plain = model.clone()
    use_standard_domain(plain)
    infer_shapes(plain)
    ranges = _ranges(plain, samples)
    writer = Writer(plain.graph)
    rounded: list[str] = []
    for node in list(plain.graph):
        if node.domain != "" or node.op_type not in _LAYERS or _activation(node.inputs[0]) is None:
            continue
        weight = read_weight(node)
        if weight is not None and not _write_layer(writer, node, weight, largest):
            rounded.append(str(node.name))
    remove_unread(plain)
    sums = [_round_operands(writer, node, ranges) for node in list(plain.graph)]
    for node in list(plain.graph):
        if node.domain == "" and node.op_type == "QuantizeLinear":
            _write_activation(writer, node, clips_in_front)
    remove_unread(plain)
    notes = []
    if rounded:
        notes.append(
            f"{len(rounded)} layers whose scales times integers pass {largest} are rounded: "
            + ", ".join(rounded)
        )
    if any(sums):
        notes.append(f"{sum(sums)} operands of sums are rounded once more, before the sum")
    return Rewritten(in_opset(plain, _OPSET), tuple(notes))


def _refuse_dynamic(model: ir.Model) -> None:
    for node in model.graph:
        if (node.domain, node.op_type) == (functions.DOMAIN, dynamic.NAME):
            raise UnsupportedModelError(
                f"node {str(node.name)!r}: exponents that are taken at run time have no int8 form; "
                "quantise with static ones, or export to the target 'onnx-plain'"
            )


def _activation(value: ir.Value | None) -> ir.Node | None:
    """The QuantizeLinear of an activation that ``value`` is the dequantised form of."""
    node = None if value is None else value.producer()
    if node is None or node.op_type != "DequantizeLinear" or node.inputs[0] is None:
        return None
    quantize = node.inputs[0].producer()
    if quantize is None or quantize.op_type != "QuantizeLinear":
        return None
    return None if constants.follows_from_constants(quantize.inputs[0]) else quantize


def _fold(weight: LayerWeight, largest: int) -> _Folded:
    """The terms' sum in 8 bits: as it is, less a factor that a channel's integers share, or
    rounded.
    """
    integers = np.sum(aligned_integers(weight.terms), axis=0)
    flat = integers.reshape(len(integers), -1)
    reached = np.abs(flat).max(axis=1)
    shared = np.maximum(np.gcd.reduce(flat, axis=1), 1)
    factor = np.where(reached <= largest, 1, shared).astype(np.float64)
    fits = reached <= largest * factor
    factor[~fits] = reached[~fits] / largest
    values = np.rint(flat / factor[:, None]).astype(np.int8)
    scale = np.ldexp(factor, finest_exponent(weight.terms))
    own = weight.terms[0].channel_scale
    if own is not None:
        scale = scale * own
    return _Folded(values.reshape(integers.shape), scale.astype(np.float32), bool(fits.all()))


def _write_layer(writer: Writer, node: ir.Node, weight: LayerWeight, largest: int) -> bool:
    """The layer's weight and bias in 8 and 32 bits; whether they are exact."""
    quantize = _activation(node.inputs[0])
    assert quantize is not None
    x_scale = constants.array(quantize.inputs[1])
    folded, name = _fold(weight, largest), str(node.name)
    values = folded.values.T if weight.transposed else folded.values
    stored = writer.constant(values, f"{name}.weight.int8")
    scale = writer.constant(folded.scale, f"{name}.weight.scale")
    # A zero point of its own: ONNX Runtime replaces that of a weight that it makes uint8.
    zero = writer.constant(np.zeros(len(folded.scale), np.int8), f"{name}.weight.zero")
    axis = 1 if weight.transposed else 0
    real = writer.before(node, "DequantizeLinear", [stored, scale, zero], "weight", axis=axis)
    node.replace_input_with(1, real)
    bias = node.inputs[2] if len(node.inputs) > 2 else None
    numbers = real_values(bias)
    if bias is None or numbers is None or x_scale is None:
        return folded.exact
    unit = (x_scale.reshape(-1) * folded.scale).astype(np.float32)
    whole = np.rint(np.broadcast_to(numbers.reshape(-1), unit.shape) / unit.astype(np.float64))
    if np.abs(whole).max(initial=0) > LARGEST_INT32:
        raise UnsupportedModelError(
            f"layer {name!r}: its bias does not fit 32 bits in units of input scale times weight "
            "scale; export to the target 'onnx-plain'"
        )
    stored = writer.constant(whole.astype(np.int32), f"{name}.bias.int32")
    units = writer.constant(unit, f"{name}.bias.scale")
    zeros = writer.constant(np.zeros(len(unit), np.int32))
    real = writer.before(node, "DequantizeLinear", [stored, units, zeros], "bias", axis=0)
    node.replace_input_with(2, real)
    return folded.exact


def _sum_operands(node: ir.Node) -> list[ir.Value]:
    """The operands of a sum of tensors that come straight from a layer."""
    if node.domain != "" or node.op_type != "Add":
        return []
    if any(constants.follows_from_constants(value) for value in node.inputs):
        return []  # a bias
    return [
        value
        for value in node.inputs
        if value is not None
        and (made := value.producer()) is not None
        and made.op_type in _LAYERS
        and patterns.only_user(value) is node
    ]


def _ranges(model: ir.Model, samples: Samples) -> dict[str, tuple[float, float]]:
    """The least and largest element of every sum's operand that comes from a layer."""
    operands = [value for node in model.graph for value in _sum_operands(node)]
    if not operands:
        return {}
    if not samples:
        raise InputError("the target 'onnx-int8' needs samples")
    shown = model.clone()
    made = {str(value.name): value for node in shown.graph for value in node.outputs}
    shown.graph.outputs.extend(made[str(value.name)] for value in operands)
    for value in shown.graph.outputs:
        value.type = value.type or ir.TensorType(ir.DataType.FLOAT)
    runtime = OnnxRuntime(shown, threads=1, optimise=False)
    found = {str(value.name): (0.0, 0.0) for value in operands}
    for sample in samples:
        results = runtime.run_all(sample)
        for name, (low, high) in found.items():
            elements = results[name]
            found[name] = min(low, float(elements.min())), max(high, float(elements.max()))
    return found


def _round_operands(
    writer: Writer, node: ir.Node, ranges: Mapping[str, tuple[float, float]]
) -> int:
    """QuantizeLinear and DequantizeLinear behind a sum's operands that come from layers; how
    many.
    """
    operands = _sum_operands(node)
    for value in operands:
        low, high = ranges[str(value.name)]
        scale = np.float32(max(high - low, float(np.finfo(np.float32).tiny)) / 255)
        zero = writer.constant(np.uint8(np.clip(np.rint(-low / float(scale)), 0, 255)))
        unit = writer.constant(scale)
        integers = writer.before(node, "QuantizeLinear", [value, unit, zero], f"{value.name}.uint8")
        real = writer.before(node, "DequantizeLinear", [integers, unit, zero], f"{value.name}.real")
        for index, operand in enumerate(node.inputs):
            if operand is value:
                node.replace_input_with(index, real)
    return len(operands)


def _write_activation(writer: Writer, node: ir.Node, clips_in_front: bool) -> None:
    """A QuantizeLinear as uint8, with a Clip in front of it where it shall be."""
    readers = [use.node for use in node.outputs[0].uses()]
    scale = constants.scalar(node.inputs[1])
    zero = constants.scalar(node.inputs[2]) if len(node.inputs) > 2 else 0.0
    if (
        scale is None
        or zero is None
        or node.outputs[0].is_graph_output()
        or any(reader.op_type != "DequantizeLinear" for reader in readers)
        or patterns.attribute(node, "output_dtype", 0) not in (0, 2, 3)
    ):
        return
    point = node.inputs[2] if len(node.inputs) > 2 else None
    signed = point is not None and point.dtype == ir.DataType.INT8
    offset = int(zero) + (128 if signed else 0)
    point = writer.constant(np.uint8(offset))
    node.resize_inputs(3)
    node.replace_input_with(2, point)
    for reader in readers:
        reader.resize_inputs(3)
        reader.replace_input_with(2, point)
    if clips_in_front:
        return
    x = node.inputs[0]
    clip = None if x is None else x.producer()
    if clip is None or clip.op_type != "Clip" or patterns.only_user(clip.outputs[0]) is not node:
        return
    bounds = bounds_of_clip(clip)
    if bounds is None or clip.inputs[0] is None:
        return
    low, high = (_quantized(bound, scale, offset) for bound in bounds)
    node.replace_input_with(0, clip.inputs[0])
    if (low, high) == (0, 255):
        return
    limits = [writer.constant(np.uint8(limit)) for limit in (low, high)]
    integers = node.outputs[0]
    clipped = ir.node("Clip", [integers, *limits])
    clipped.name = clipped.outputs[0].name = writer.unique(f"{integers.name}.clipped")
    writer.graph.insert_after(node, clipped)
    for reader in readers:
        reader.replace_input_with(0, clipped.outputs[0])


def _quantized(bound: float, scale: float, offset: int) -> int:
    if math.isinf(bound):
        return 0 if bound < 0 else 255
    return int(np.clip(np.rint(bound / scale) + offset, 0, 255))


INT8 = Target(
    "onnx-int8",
    "runtimes with int8 kernels: 8-bit weights per channel; not exact",
    False,
    (True,),
    partial(int8_form, clips_in_front=False),
)

INT8_REDUCED = Target(
    "onnx-int8-reduced",
    "the same with weights of 7 bits, whose sums no int8 kernel saturates; not exact",
    False,
    (True,),
    partial(int8_form, clips_in_front=False, largest=_LARGEST_UNSATURATED),
)
