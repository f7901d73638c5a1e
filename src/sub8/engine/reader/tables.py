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
    """The function's result, in ``fmt``, for each of the 256 integers of its source, lowest first;
    ``[channels, 256]`` where every channel has its own.
    """
    low, high = function.source.fmt.low, function.source.fmt.high
    x = dequantize(np.arange(low, high + 1), function.source.fmt)
    if function.channels is not None:
        axis, axes, channels = function.channels
        shape = [1] * axes
        shape[axis] = channels
        # The 256 values lie along an axis that is not the channels'.
        shape[0 if axis else 1] = len(x)
        along = x.reshape([len(x) if place == (0 if axis else 1) else 1 for place in range(axes)])
        x = np.broadcast_to(along, shape).copy()
    names = sorted(str(value.name) for value in function.sources)
    part = extract(model, names, [str(function.result.name)])
    result = OnnxRuntime(part, threads=1, optimise=False).run_all(dict.fromkeys(names, x))
    made = quantize(result[str(function.result.name)], fmt)
    if function.channels is None:
        return made.reshape(256)
    return np.ascontiguousarray(made.reshape(256, -1).T if axis else made.reshape(-1, 256))
