"""Weights that are no numbers, which no layer is computed from."""

import ml_dtypes
import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

_PARAMETRIC = frozenset({
    "Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "InstanceNormalization",
    "LayerNormalization", "GroupNormalization", "RMSNormalization", "LSTM", "GRU", "RNN",
    "QuantizeLinear",
    "DequantizeLinear",
})  # fmt: skip
FLOATS = frozenset(
    {ir.DataType.FLOAT, ir.DataType.FLOAT16, ir.DataType.BFLOAT16, ir.DataType.DOUBLE}
)


def not_finite(elements: NDArray) -> str | None:
    """What elements of a dtype in FLOATS hold that is no finite number: "NaN", "infinite values" or
    nothing.
    """
    if elements.dtype == ml_dtypes.bfloat16:
        elements = elements.astype(np.float32)
    # One pass without a mask: a sum of squares would overflow, minimum and maximum keep NaN.
    if not elements.size or (np.isfinite(elements.min()) and np.isfinite(elements.max())):
        return None
    return "NaN" if np.isnan(elements).any() else "infinite values"


def reading_layer(value: ir.Value) -> ir.Node | None:
    """A layer that reads an initializer; other constants, such as attention masks, may be
    infinite.
    """
    return next((use.node for use in value.uses() if use.node.op_type in _PARAMETRIC), None)
