"""The model-local function ``sub8.DynamicScale``: one power-of-two scale per image, taken at run
time.
"""

import numpy as np
import onnx_ir as ir

from sub8.graph.functions import DOMAIN, Body
from sub8.numerics.dynamic import HIGHEST_EXPONENT, LOWEST_EXPONENT, MAGNITUDE_BITS

NAME = "DynamicScale"


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

    body = Body("x")
    (x,) = body.inputs
    axis = body.constant("axis", np.array([1]))
    magnitude = body.apply("Abs", "magnitude", body.apply("Flatten", "flat", x, axis=1))
    largest = body.apply("ReduceMax", "largest", magnitude, axis, keepdims=1)
    attribute = body.attribute("signed_integer", "signed")
    signed = body.apply("Cast", "signed_float", attribute, to=int(ir.DataType.FLOAT))
    factor = body.apply("Add", "factor", signed, body.constant("one", np.array(1, np.float32)))
    compared = body.apply("Mul", "compared", largest, factor)
    ladder = body.constant("ladder", thresholds.astype(np.float32))
    reached = body.apply("GreaterOrEqual", "reached", compared, ladder)
    counted = body.apply("Cast", "counted", reached, to=int(ir.DataType.INT64))
    rung = body.apply("ReduceSum", "rung", counted, axis, keepdims=0)
    chosen = body.constant("scales", scales.astype(np.float32))
    return body.function(NAME, body.apply("Gather", "scale", chosen, rung), "signed")
