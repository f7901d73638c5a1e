"""Gram matrices of a layer's input patches: the second-order statistics that its output error depends on."""

from collections.abc import Iterable

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import patterns

BLOCK_ELEMENTS = 1 << 23


def gram(layer: ir.Node, batches: Iterable[NDArray[np.float32]]) -> NDArray[np.float64]:
    """Mean of ``p p^T`` over all patches p of the layer's inputs, ``[groups, I*KH*KW, I*KH*KW]``.

    layer: Conv, Gemm or MatMul. batches: its inputs, float32 ``[B, C, H, W]`` or ``[..., I]``.
    A patch is what one output position of one convolution group sees, flattened like ``weight[o]``.
    Products are summed in float32 within blocks and in float64 across them.
    """
    return _accumulate(layer, ((batch, batch) for batch in batches))


def cross_gram(
    layer: ir.Node, pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]
) -> NDArray[np.float64]:
    """Mean of ``p q^T`` over matching patches of two inputs, for example the quantised and the float one."""
    return _accumulate(layer, pairs)


def _accumulate(
    layer: ir.Node, pairs: Iterable[tuple[NDArray[np.float32], NDArray[np.float32]]]
) -> NDArray[np.float64]:
    total: NDArray[np.float64] | None = None
    count = 0
    for left, right in pairs:
        for start in range(0, len(left), step := images_per_block(layer, left)):
            p = patches(layer, left[start : start + step])
            q = p if left is right else patches(layer, right[start : start + step])
            block = np.matmul(p, q.transpose(0, 2, 1)).astype(np.float64)
            total = block if total is None else total + block
            count += p.shape[2]
    assert total is not None, "a Gram matrix needs at least one batch"
    return total / count


def patches(layer: ir.Node, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Input patches as float32 ``[groups, I*KH*KW, B * positions]``."""
    if layer.op_type != "Conv":
        return np.ascontiguousarray(x.reshape(-1, x.shape[-1]).T)[None]
    groups = patterns.attribute(layer, "group", 1)
    weight = patterns.layer_weight(layer)
    kernel = weight.shape[2:]
    strides = tuple(patterns.attribute(layer, "strides", (1, 1)))
    dilations = tuple(patterns.attribute(layer, "dilations", (1, 1)))
    top, left, bottom, right = patterns.attribute(layer, "pads", (0, 0, 0, 0))
    if (top, left, bottom, right) != (0, 0, 0, 0):
        x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    extent = tuple(d * (k - 1) + 1 for k, d in zip(kernel, dilations, strict=True))
    windows = np.lib.stride_tricks.sliding_window_view(x, extent, axis=(2, 3))
    windows = windows[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
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
