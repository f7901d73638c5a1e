"""Sliding windows over the last two axes: output sizes as ONNX defines them, and the windows
themselves.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Pair = tuple[int, int]
Pads = tuple[int, int, int, int]


def output_size(
    size: int,
    kernel: int,
    stride: int,
    begin: int,
    end: int,
    dilation: int,
    ceil_mode: bool = False,
) -> int:
    """Windows along one axis; below 1 where the window does not fit.

    With ``ceil_mode`` a window may reach past the end, but it must start inside the input or its
    left padding (ONNX opset 19 and ONNX Runtime).
    """
    span = size + begin + end - ((kernel - 1) * dilation + 1)
    if span < 0:
        return 0
    if not ceil_mode:
        return span // stride + 1
    count = -(-span // stride) + 1
    return count - 1 if (count - 1) * stride >= size + begin else count


def automatic_pads(
    mode: str,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    sizes: Sequence[int | str | None],
) -> tuple[tuple[int, ...], tuple[int, ...]] | None:
    """ONNX ``auto_pad``: what goes before and what goes behind each axis.

    mode: VALID, SAME_UPPER or SAME_LOWER. sizes: of the input, other than int where not known;
    None where the padding depends on such a one.
    """
    begins, ends = [], []
    for length, size, stride, dilation in zip(sizes, kernel, strides, dilations, strict=True):
        extent = (size - 1) * dilation + 1
        if mode == "VALID":
            total = 0
        elif stride == 1:
            total = extent - 1
        elif isinstance(length, int):
            total = max((-(-length // stride) - 1) * stride + extent - length, 0)
        else:
            return None
        begins.append(total - total // 2 if mode == "SAME_LOWER" else total // 2)
        ends.append(total - begins[-1])
    return tuple(begins), tuple(ends)


def windows(
    x: NDArray,
    kernel: Pair,
    strides: Pair,
    pads: Pads,
    dilations: Pair,
    fill: int,
    ceil_mode: bool = False,
) -> NDArray:
    """Windows of ``x [B, C, H, W]`` as a view ``[B, C, OH, OW, KH, KW]``; what lies outside holds
    ``fill``.

    pads: top, left, bottom, right.
    """
    top, left, bottom, right = pads
    height = output_size(x.shape[2], kernel[0], strides[0], top, bottom, dilations[0], ceil_mode)
    width = output_size(x.shape[3], kernel[1], strides[1], left, right, dilations[1], ceil_mode)
    reach_h = (height - 1) * strides[0] + (kernel[0] - 1) * dilations[0] + 1
    reach_w = (width - 1) * strides[1] + (kernel[1] - 1) * dilations[1] + 1
    bottom = max(bottom, reach_h - x.shape[2] - top)
    right = max(right, reach_w - x.shape[3] - left)
    padded = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    span = ((kernel[0] - 1) * dilations[0] + 1, (kernel[1] - 1) * dilations[1] + 1)
    view = np.lib.stride_tricks.sliding_window_view(padded, span, axis=(2, 3))
    view = view[:, :, :: strides[0], :: strides[1], :: dilations[0], :: dilations[1]]
    return view[:, :, :height, :width]
