"""The forward state: node by node, what each value is made of."""

from collections.abc import Callable, Collection, Mapping

import numpy as np
import onnx_ir as ir

from sub8.engine.plan import operators as p
from sub8.engine.reader import bare_integers, elementwise, layers, movement
from sub8.engine.reader import rows as row_reader
from sub8.engine.reader.state import GraphState, Keep, input_at
from sub8.engine.reader.values import DynamicScale, Integers, Known, Pending, Real
from sub8.errors import UnsupportedModelError
from sub8.graph import constants, dynamic, functions, patterns, quantization, rows
from sub8.graph.naming import node_name
from sub8.numerics.dfp import Format

Reader = Callable[[GraphState, ir.Node], list[Known] | None]


def interpret(
    model: ir.Model, keep: Keep, reasons: Mapping[str, str | None] | None = None
) -> GraphState:
    """GraphState a prepared graph. Integer operators are emitted where a QuantizeLinear, or a
    movement, makes them.

    keep: see ``GraphState``. reasons: why nodes were left in operator form, by their results.

    Activations that are quantised in a way that 8-bit tensors with one scale cannot express stay
    float, and are noted in ``left_float``.
    Raises UnsupportedModelError, naming the node, for scales that contradict each other.
    """
    state = GraphState(model, keep)
    for node in model.graph:
        if not node.outputs or not state.computed(node):
            continue
        reader = _READERS.get((node.domain, node.op_type), elementwise.read_function)
        found = reader(state, node) if node.inputs and node.inputs[0] is not None else None
        if found is None and (other := quantization.other_form(node)) is not None:
            reason = (reasons or {}).get(str(node.outputs[0].name))
            state.left_float[node_name(node)] = reason or other
        if found is None:
            bare_integers.give_to_float(state, node)
        for index, value in enumerate(node.outputs):
            state.known[value] = (
                found[index] if found is not None and index < len(found) else Real()
            )
    return state


def without_integers(state: GraphState, results: Collection[str]) -> dict[str, str | None]:
    """Those of ``results`` that integer operators do not make, and why, where that is known."""
    found: dict[str, str | None] = {}
    for node in state.model.graph:
        value = node.outputs[0]
        if str(value.name) not in results:
            continue
        known = state.of(value)
        if isinstance(known, Pending):
            continue
        if isinstance(known, Integers):
            operator = state.emitter.operators.get(known.tensor)
            if not (isinstance(operator, p.Quantize) and operator.out == value.name):
                continue
        source = None if node.inputs[0] is None else node.inputs[0].producer()
        names = [node_name(each) for each in (node, source) if each is not None]
        reasons = [state.left_float[name] for name in names if name in state.left_float]
        found[str(value.name)] = reasons[0] if reasons else None
    return found


def _read_same(state: GraphState, node: ir.Node) -> list[Known] | None:
    """Identity, and Dropout in inference."""
    if node.outputs[0].is_graph_output() or len(node.inputs) > 2:
        return None
    known = state.of(node.inputs[0])
    return [known] if known is not None and not isinstance(known, Real) else None


def _read_dynamic_scale(state: GraphState, node: ir.Node) -> list[Known] | None:
    source, signed = node.inputs[0], patterns.attribute(node, "signed", None)
    if source is None or signed not in (0, 1):
        return None
    if not state.calls(node, dynamic.dynamic_scale_function):
        return None
    return [DynamicScale(source, bool(signed))]


def _read_quantize(state: GraphState, node: ir.Node) -> list[Known] | None:
    x, scale = node.inputs[0], node.inputs[1]
    assert x is not None
    name, out = node_name(node), str(node.outputs[0].name)
    known = state.of(x)
    if known is None:  # a constant by a scale that is computed
        return None
    if isinstance(known, Real) and x.dtype not in (None, ir.DataType.FLOAT):
        return None
    if patterns.attribute(node, "precision", 0) not in (0, int(ir.DataType.FLOAT)):
        state.left_float[name] = "it divides in another type than float32"
        return None
    dynamic_scale = state.of(scale)
    if isinstance(dynamic_scale, DynamicScale):
        fmt = Format(dynamic_scale.signed, None)
        if _stored_type(node) != fmt.dtype or patterns.attribute(node, "axis", 1) != 0:
            raise UnsupportedModelError(
                f"node {name!r}: type or axis does not fit its dynamic scale"
            )
        if isinstance(known, Integers) and known.scale is scale:
            return [Integers(known.tensor, known.fmt, real=False, scale=scale)]
        if dynamic_scale.of is not x:
            raise UnsupportedModelError(
                f"node {name!r}: its dynamic scale is taken from {dynamic_scale.of.name!r}, not "
                "from its input"
            )
        tensor = state.emitter.quantise(known, fmt, out, name, x)
        return [Integers(tensor, fmt, real=False, scale=scale)]
    static = _static_format(node, _stored_type(node))
    if isinstance(static, str):
        state.left_float[name] = static
        return None
    return [Integers(state.emitter.quantise(known, static, out, name, x), static, real=False)]


def _read_dequantize(state: GraphState, node: ir.Node) -> list[Known] | None:
    x, scale = node.inputs[0], node.inputs[1]
    known = state.of(x)
    name = node_name(node)
    if patterns.attribute(node, "output_dtype", 0) not in (0, int(ir.DataType.FLOAT)):
        return None
    if isinstance(known, Real):
        _read_given(state, node)
        return None
    if not isinstance(known, Integers) or known.real:
        return None
    if known.fmt.dynamic:
        if known.scale is not scale or patterns.attribute(node, "axis", 1) != 0:
            raise UnsupportedModelError(
                f"node {name!r}: does not use the dynamic scale its input was quantised with"
            )
        return [Integers(known.tensor, known.fmt, real=True, scale=scale)]
    fmt = _static_format(node, known.fmt.dtype)
    if isinstance(fmt, str) or fmt != known.fmt:
        raise UnsupportedModelError(
            f"node {name!r}: its scale or zero point differs from the QuantizeLinear before it; "
            "make them equal"
        )
    return [Integers(known.tensor, fmt, real=True)]


def _read_given(state: GraphState, node: ir.Node) -> None:
    """Dequantised integers that a caller, or a float island, gives."""
    x, zero = node.inputs[0], input_at(node, 2)
    dtype = x.dtype if x is not None and zero is None else zero.dtype if zero is not None else None
    if dtype in (ir.DataType.INT8, ir.DataType.UINT8):
        fmt = _static_format(node, np.dtype(dtype.numpy()))
        if isinstance(fmt, Format):
            bare_integers.give_to_layers(state, node, fmt)


def _stored_type(node: ir.Node) -> np.dtype | None:
    """uint8 or int8; None for other types."""
    zero = input_at(node, 2)
    if zero is not None:
        elements = constants.array(zero)
        stored = None if elements is None else elements.dtype
    else:
        kind = int(patterns.attribute(node, "output_dtype", 0))
        stored = {0: np.dtype(np.uint8), int(ir.DataType.UINT8): np.dtype(np.uint8),
                  int(ir.DataType.INT8): np.dtype(np.int8)}.get(kind)  # fmt: skip
    return np.dtype(stored) if stored in (np.int8, np.uint8) else None


def _static_format(node: ir.Node, stored: np.dtype | None) -> Format | str:
    """The format; or why there is none, and the remedy."""
    if stored is None:
        return "its activations are no 8-bit integers; quantise them as uint8 or int8"
    scale = constants.array(node.inputs[1])
    zero_value = input_at(node, 2)
    zero = np.zeros(1) if zero_value is None else constants.array(zero_value)
    if (
        scale is None
        or zero is None
        or scale.size != 1
        or zero.size != 1
        or scale.dtype != np.float32
    ):
        return (
            "its activations have no single constant float32 scale; "
            "quantise them per tensor, not per channel"
        )
    number = float(scale.reshape(()))
    if not (np.isfinite(number) and number > 0):
        raise UnsupportedModelError(f"node {node_name(node)!r}: scale {number} is not positive")
    return Format(stored == np.int8, number, int(zero.reshape(())))


_READERS: dict[tuple[str, str], Reader] = {
    ("", "QuantizeLinear"): _read_quantize,
    (quantization.MICROSOFT, "QuantizeLinear"): _read_quantize,
    ("", "DequantizeLinear"): _read_dequantize,
    (functions.DOMAIN, dynamic.NAME): _read_dynamic_scale,
    (functions.DOMAIN, rows.SOFTMAX): row_reader.read_softmax,
    (functions.DOMAIN, rows.NORM): row_reader.read_norm,
    ("", "Identity"): _read_same,
    ("", "Dropout"): _read_same,
    ("", "Conv"): layers.read_conv,
    ("", "Gemm"): layers.read_gemm,
    ("", "MatMul"): elementwise.read_matmul,
    ("", "Add"): elementwise.read_add,
    ("", "Mul"): elementwise.read_two,
    ("", "Sub"): elementwise.read_two,
    ("", "Relu"): elementwise.read_clamp,
    ("", "Clip"): elementwise.read_clamp,
    ("", "Reshape"): movement.read_reshape,
    ("", "Flatten"): movement.read_reshape,
    ("", "Squeeze"): movement.read_reshape,
    ("", "Unsqueeze"): movement.read_reshape,
    ("", "Transpose"): movement.read_transpose,
    ("", "Slice"): movement.read_slice,
    ("", "Split"): movement.read_split,
    ("", "Pad"): movement.read_pad,
    ("", "Resize"): movement.read_resize,
    ("", "Expand"): movement.read_expand,
    ("", "DepthToSpace"): movement.read_blocks,
    ("", "SpaceToDepth"): movement.read_blocks,
    ("", "Concat"): movement.read_concat,
    ("", "MaxPool"): movement.read_max_pool,
    ("", "GlobalMaxPool"): movement.read_global_max_pool,
    ("", "AveragePool"): movement.read_average_pool,
    ("", "GlobalAveragePool"): movement.read_average_pool,
    ("", "ReduceMean"): movement.read_reduce_mean,
}
