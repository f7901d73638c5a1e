"""Input patches of a layer: what one output position of one convolution group sees, as columns of a
matrix.
"""

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import patterns

BLOCK_ELEMENTS = 1 << 23


def patches(
    layer: ir.Node, x: NDArray[np.float32], every: int = 1, offset: int = 0
) -> NDArray[np.float32]:
    """Patches of inputs ``[B, C, H, W]`` (Conv) or ``[..., I]`` (Gemm, MatMul), float32 ``[groups,
    K, positions]``.

    K = I*KH*KW, a column is flattened like ``weight[o]``; positions run over the batch, rows,
    columns. Of a convolution's output rows and columns only every ``every``-th from ``offset`` on
    is taken."""
    if layer.op_type != "Conv":
        return np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T)[None]
    groups = patterns.attribute(layer, "group", 1)
    kernel = patterns.layer_weight(layer).shape[2:]
    strides = tuple(patterns.attribute(layer, "strides", (1, 1)))
    dilations = tuple(patterns.attribute(layer, "dilations", (1, 1)))
    top, left, bottom, right = patterns.attribute(layer, "pads", (0, 0, 0, 0))
    if (top, left, bottom, right) != (0, 0, 0, 0):
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    windows = windows[:, :, offset::every, offset::every]
    batch, channels, rows, columns = windows.shape[:4]
    ordered = windows.transpose(1, 4, 5, 0, 2, 3)
    width = channels // groups * kernel[0] * kernel[1]
    return np.ascontiguousarray(ordered).reshape(groups, width, batch * rows * columns)


def images_per_block(layer: ir.Node, x: NDArray[np.float32]) -> int:
    """How many images' patches take about ``BLOCK_ELEMENTS`` numbers, at least 1."""
    kernel = patterns.layer_weight(layer).shape[2:] if layer.op_type == "Conv" else ()
    strides = patterns.attribute(layer, "strides", (1, 1)) if layer.op_type == "Conv" else ()
    per_image = (
        x[0].size * int(np.prod(kernel, initial=1)) / max(1, int(np.prod(strides, initial=1)))
    )
    return max(1, int(BLOCK_ELEMENTS // per_image))
