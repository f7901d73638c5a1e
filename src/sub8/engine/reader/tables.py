"""Tables of 256 results: element-wise float functions of one 8-bit tensor, computed once by ONNX
Runtime.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.engine.reader.subgraph import extract
from sub8.engine.reader.values import Function
from sub8.numerics.dfp import Format, dequantize, quantize
from sub8.oracle import OnnxRuntime


def make_table(model: ir.Model, function: Function, fmt: Format) -> NDArray:
    """The function's result, in ``fmt``, for each of the 256 integers of its source, lowest
    first.
    """
    low, high = function.source.fmt.low, function.source.fmt.high
    x = dequantize(np.arange(low, high + 1), function.source.fmt)
    names = sorted(str(value.name) for value in function.sources)
    part = extract(model, names, [str(function.result.name)])
    result = OnnxRuntime(part, threads=1, optimise=False).run_all(dict.fromkeys(names, x))
    return quantize(result[str(function.result.name)].reshape(256), fmt)
