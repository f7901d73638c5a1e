"""The model-local function ``sub8.DynamicScale``: one power-of-two scale per image, taken at run
time.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph.opset import OPSET
from sub8.numerics.dynamic import HIGHEST_EXPONENT, LOWEST_EXPONENT, MAGNITUDE_BITS

DOMAIN = "sub8"
NAME = "DynamicScale"
_FIRST_OPSET = 18  # ReduceMax with axes as an input


def dynamic_scale(x: ir.Value, *, signed: bool) -> ir.Node:
    """A call of the function on float ``x`` ``[B, ...]``; its output is the scale, float32
    ``[B]``.
    """
    return ir.Node(DOMAIN, NAME, [x], [ir.AttrInt64("signed", int(signed))])


def dynamic_scale_function() -> ir.Function:
    """The function's body, in standard operators.

    With m the largest magnitude of an image, the scale is 2**e with
    ``numerics.dynamic.choose_exponent``'s e.
    Every step is exact: m (doubled for int8) is compared with a ladder of powers of two, and the
    number of rungs reached selects the scale from a table. No logarithm is taken.
    """
    rungs = HIGHEST_EXPONENT - LOWEST_EXPONENT
    thresholds = np.ldexp(
        np.float32(1), np.arange(1, rungs + 1) + LOWEST_EXPONENT + MAGNITUDE_BITS[False]
    )
    scales = np.ldexp(np.float32(1), np.arange(rungs + 1) + LOWEST_EXPONENT)

    nodes: list[ir.Node] = []

    def apply(op: str, output: str, inputs: list[ir.Value], **attributes: int) -> ir.Value:
        node = ir.node(op, inputs, attributes)
        node.outputs[0].name = output
        nodes.append(node)
        return node.outputs[0]

    def constant(output: str, value: NDArray) -> ir.Value:
        node = ir.node("Constant", [], {"value": ir.tensor(value)})
        node.outputs[0].name = output
        nodes.append(node)
        return node.outputs[0]

    x = ir.Value(name="x")
    axis = constant("axis", np.array([1]))
    magnitude = apply("Abs", "magnitude", [apply("Flatten", "flat", [x], axis=1)])
    largest = apply("ReduceMax", "largest", [magnitude, axis], keepdims=1)
    attribute = ir.Node(
        "", "Constant", [], [ir.RefAttr("value_int", "signed", ir.AttributeType.INT)]
    )
    attribute.outputs[0].name = "signed_integer"
    nodes.append(attribute)
    signed = apply("Cast", "signed_float", [attribute.outputs[0]], to=int(ir.DataType.FLOAT))
    factor = apply("Add", "factor", [signed, constant("one", np.array(1, np.float32))])
    compared = apply("Mul", "compared", [largest, factor])
    ladder = constant("ladder", thresholds.astype(np.float32))
    reached = apply("GreaterOrEqual", "reached", [compared, ladder])
    counted = apply("Cast", "counted", [reached], to=int(ir.DataType.INT64))
    rung = apply("ReduceSum", "rung", [counted, axis], keepdims=0)
    scale = apply("Gather", "scale", [constant("scales", scales.astype(np.float32)), rung])
    body = ir.Graph([x], [scale], nodes=nodes, opset_imports={"": OPSET}, name=NAME)
    return ir.Function(
        DOMAIN, NAME, graph=body, attributes=[ir.Attr("signed", ir.AttributeType.INT, None)]
    )


def is_dynamic_scale(function: ir.Function | None) -> bool:
    """Whether a function computes what ``dynamic_scale_function`` does: node by node the same."""
    if function is None:
        return False
    version = function.opset_imports.get("", 0)
    return _FIRST_OPSET <= version <= OPSET and _steps(function) == _steps(dynamic_scale_function())


def _steps(function: ir.Function) -> list[object]:
    """A function's inputs, outputs and nodes, its values by the order in which they appear."""
    numbers: dict[ir.Value | None, int] = {None: -1}

    def number(value: ir.Value | None) -> int:
        return numbers.setdefault(value, len(numbers))

    steps: list[object] = [[number(value) for value in function.inputs]]
    for node in function:
        attributes = {name: _plain(attribute) for name, attribute in node.attributes.items()}
        read = [number(value) for value in node.inputs]
        steps.append(
            (node.domain, node.op_type, read, attributes, [number(v) for v in node.outputs])
        )
    return [*steps, [number(value) for value in function.outputs]]


def _plain(attribute: ir.Attr) -> object:
    if attribute.is_ref():
        return attribute.ref_attr_name
    if attribute.type == ir.AttributeType.TENSOR:
        elements = attribute.as_tensor().numpy()
        return elements.dtype, elements.shape, elements.tobytes()
    return attribute.value
