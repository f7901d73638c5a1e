"""Every integer operator, defined in NumPy. Backends agree with these to the bit.

Activations ``[B, C, H, W]`` are integers (or int64 after their zero point is taken off); sums are
int64 and exact; what becomes of them is in ``numerics.requantize``.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.rounding import Int64Array
from sub8.numerics.windows import Pads, Pair, windows

LARGEST_EXACT_DOUBLE = 2**53


def convolve(
    x: NDArray[np.integer],
    weight: Int64Array,
    *,
    strides: Pair = (1, 1),
    pads: Pads = (0, 0, 0, 0),
    dilations: Pair = (1, 1),
    groups: int = 1,
) -> Int64Array:
    """Sums ``[B, O, OH, OW]`` of ``weight [O, I, KH, KW] * x [B, groups*I, H, W]``, zeros outside
    of x.
    """
    outputs, inputs, *kernel = weight.shape
    view = windows(x, (kernel[0], kernel[1]), strides, pads, dilations, 0)
    batch, _, height, width = view.shape[:4]
    result = np.empty((batch, outputs, height, width), np.int64)
    per_group = outputs // groups
    for group in range(groups):
        part = view[:, group * inputs : (group + 1) * inputs]
        rows = part.transpose(0, 2, 3, 1, 4, 5).reshape(batch * height * width, -1)
        matrix = weight[group * per_group : (group + 1) * per_group].reshape(per_group, -1)
        sums = linear(rows, matrix).reshape(batch, height, width, per_group)
        result[:, group * per_group : (group + 1) * per_group] = sums.transpose(0, 3, 1, 2)
    return result


def linear(x: NDArray[np.integer], weight: Int64Array) -> Int64Array:
    """Sums ``[..., O]`` of ``x [..., I] @ weight [O, I].T``."""
    largest = np.abs(weight).sum(axis=1).max(initial=0) * np.abs(x.astype(np.int64)).max(initial=0)
    if largest >= LARGEST_EXACT_DOUBLE:
        return x.astype(np.int64) @ weight.T
    # Integers below 2**53 are exact in double precision, whose matrix product is far faster.
    return (x.astype(np.float64) @ weight.T.astype(np.float64)).astype(np.int64)


def matmul(a: Int64Array, b: Int64Array) -> Int64Array:
    """Sums ``[..., M, N]`` of ``a [..., M, K] @ b [..., K, N]``, leading axes broadcast."""
    largest = int(np.abs(a).max(initial=0)) * int(np.abs(b).max(initial=0)) * a.shape[-1]
    if largest >= LARGEST_EXACT_DOUBLE:
        return a @ b
    product: Int64Array = (a.astype(np.float64) @ b.astype(np.float64)).astype(np.int64)
    return product


def per_channel(values: NDArray, rank: int, axis: int) -> NDArray:
    """``values [O]`` shaped to broadcast along ``axis`` of a tensor of ``rank`` axes."""
    shape = [1] * rank
    shape[axis] = values.size
    return values.reshape(shape)


def max_pool(
    x: NDArray, kernel: Pair, strides: Pair, pads: Pads, dilations: Pair, ceil_mode: bool
) -> NDArray:
    """Largest element of each window ``[B, C, OH, OW]``; padding never wins."""
    lowest = int(np.iinfo(x.dtype).min)
    return windows(x, kernel, strides, pads, dilations, lowest, ceil_mode).max(axis=(4, 5))


def sum_pool(
    x: NDArray[np.integer],
    kernel: Pair,
    strides: Pair,
    pads: Pads,
    ceil_mode: bool,
    count_include_pad: bool,
) -> tuple[Int64Array, Int64Array]:
    """Sums ``[B, C, OH, OW]`` over windows, zeros outside of x, and the divisors ``[OH, OW]`` of
    the means.

    A divisor counts the positions of the window inside x, with ``count_include_pad`` also those in
    the declared padding, but never those that only ``ceil_mode`` reaches.
    """
    dilations = (1, 1)
    sums = windows(x.astype(np.int64), kernel, strides, pads, dilations, 0, ceil_mode).sum(
        axis=(4, 5)
    )
    counted = np.ones((1, 1, *x.shape[2:]), np.int64)
    if count_include_pad:
        top, left, bottom, right = pads
        counted = np.pad(counted, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=1)
        height, width = sums.shape[2:]
        view = windows(counted, kernel, strides, (0, 0, 0, 0), dilations, 0, ceil_mode)
        return sums, view.sum(axis=(4, 5))[0, 0, :height, :width]
    return sums, windows(counted, kernel, strides, pads, dilations, 0, ceil_mode).sum(axis=(4, 5))[
        0, 0
    ]


def look_up(x: NDArray, table: NDArray) -> NDArray:
    """``table[x - lowest value of x's type]``, 256 entries."""
    return table[x.astype(np.int64) - int(np.iinfo(x.dtype).min)]


def pad(x: NDArray, pads: Sequence[int], value: int) -> NDArray:
    """ONNX Pad with a constant: all begins, then all ends; negative pads crop."""
    rank = x.ndim
    begins, ends = pads[:rank], pads[rank:]
    crop = tuple(
        slice(max(-begin, 0), size - max(-end, 0))
        for begin, end, size in zip(begins, ends, x.shape, strict=True)
    )
    widths = [(max(begin, 0), max(end, 0)) for begin, end in zip(begins, ends, strict=True)]
    return np.pad(x[crop], widths, constant_values=value)


def look_up_by_channel(x: NDArray, tables: NDArray, axis: int) -> NDArray:
    """``look_up`` with a table of its own for every index along ``axis``, ``[channels, 256]``."""
    index = x.astype(np.int64) - int(np.iinfo(x.dtype).min)
    channel = np.arange(x.shape[axis]).reshape(-1, *(1,) * (x.ndim - 1 - axis))
    return tables[channel, index]


def neighbours(size: int, factor: int, centred: bool) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Of every position of an axis enlarged by ``factor``: the two elements that it lies between,
    and the weight of the second of ``2 * factor`` (the first has the rest). centred: positions are
    counted from the centres of elements, else from their begins.
    """
    index = np.arange(size * factor, dtype=np.int64)
    place = 2 * index + 1 - factor if centred else 2 * index
    below, rest = place // (2 * factor), place % (2 * factor)
    return np.clip(below, 0, size - 1), np.clip(below + 1, 0, size - 1), rest


def interpolate(x: Int64Array, factors: tuple[int, int], centred: bool) -> Int64Array:
    """``[B, C, H, W]`` enlarged linearly, times ``4 * factors[0] * factors[1]``."""
    for axis, factor in zip((2, 3), factors, strict=True):
        first, second, weight = neighbours(x.shape[axis], factor, centred)
        weight = weight.reshape(-1, *(1,) * (3 - axis))
        x = np.take(x, first, axis) * (2 * factor - weight) + np.take(x, second, axis) * weight
    return x


def border(size: int, begin: int, end: int, mode: str) -> list[int]:
    """ONNX Pad along an axis of ``size``: where each element of the result comes from.

    mode: "reflect" (without the edge itself), "edge" or "wrap"."""
    places = range(-begin, size + end)
    if mode == "edge":
        return [min(max(place, 0), size - 1) for place in places]
    if mode == "wrap":
        return [place % size for place in places]
    last = size - 1
    return [last - abs(last - abs(place)) for place in places]


def repeat(x: NDArray, factors: Sequence[int]) -> NDArray:
    """Every element ``factors[axis]`` times along each axis."""
    for axis, factor in enumerate(factors):
        x = np.repeat(x, factor, axis=axis)
    return x


def depth_to_space(x: NDArray, block: int, together: bool) -> NDArray:
    """ONNX DepthToSpace of ``[B, C, H, W]``; together: mode DCR, else CRD."""
    batch, channels, height, width = x.shape
    kept = channels // block**2
    if together:
        parts = x.reshape(batch, block, block, kept, height, width).transpose(0, 3, 4, 1, 5, 2)
    else:
        parts = x.reshape(batch, kept, block, block, height, width).transpose(0, 1, 4, 2, 5, 3)
    return parts.reshape(batch, kept, height * block, width * block)


def space_to_depth(x: NDArray, block: int) -> NDArray:
    """ONNX SpaceToDepth of ``[B, C, H, W]``."""
    batch, channels, height, width = x.shape
    parts = x.reshape(batch, channels, height // block, block, width // block, block)
    made = parts.transpose(0, 3, 5, 1, 2, 4)
    return made.reshape(batch, channels * block**2, height // block, width // block)


def cut(
    x: NDArray,
    starts: Sequence[int],
    ends: Sequence[int],
    axes: Sequence[int],
    steps: Sequence[int],
) -> NDArray:
    """ONNX Slice with positive steps."""
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def reshape_target(shape: Sequence[int], target: Sequence[int]) -> tuple[int, ...]:
    """The shape that ONNX Reshape gives: 0 copies a dimension, one -1 is inferred. Raises
    ValueError.
    """
    if any(size == 0 and axis >= len(shape) for axis, size in enumerate(target)):
        raise ValueError(f"{list(target)} copies a dimension that {list(shape)} does not have")
    sizes = [shape[axis] if size == 0 else size for axis, size in enumerate(target)]
    total, known = int(np.prod(shape, dtype=np.int64)), 1
    for size in sizes:
        known *= size if size != -1 else 1
    if sizes.count(-1) > 1 or (-1 in sizes and (known == 0 or total % known)):
        raise ValueError(f"{list(shape)} cannot be reshaped to {list(target)}")
    sizes = [total // known if size == -1 else size for size in sizes]
    if int(np.prod(sizes, dtype=np.int64)) != total:
        raise ValueError(f"{list(shape)} cannot be reshaped to {list(target)}")
    return tuple(sizes)
