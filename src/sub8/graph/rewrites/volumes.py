"""Convolutions and pooling over volumes, as those over images."""

import math
from collections.abc import Sequence

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, patterns
from sub8.graph.rewrites.in_place import InPlaceOf
from sub8.graph.rewrites.sinking import push_before
from sub8.numerics.windows import automatic_pads, output_size

_SLICES_FIRST = (0, 2, 1, 3, 4)  # [B, D, C, H, W]


def normalise_volumes(graph: ir.Graph) -> None:
    """Conv, MaxPool and AveragePool of ``[B, C, D, H, W]`` on images.

    A convolution reads the slices that its kernel spans as channels of one image: the kernel's
    depth times as many, for every place along the depth. Pooling goes over height and width first,
    then over the depth. Needs inferred shapes; all but B known.
    """
    for node in patterns.standard_nodes(graph):
        x = node.inputs[0] if node.inputs else None
        sizes = patterns.sizes(x)
        if sizes is None or len(sizes) != 5 or x is None or not patterns.is_float(x):
            continue
        inner = [size for size in sizes[1:] if isinstance(size, int)]
        if len(inner) != 4 or constants.is_constant(x):
            continue
        if node.op_type == "Conv":
            _convolution(graph, node, x, inner)
        elif node.op_type in ("MaxPool", "AveragePool"):
            _pooling(node, x, inner)


def _convolution(graph: ir.Graph, node: ir.Node, x: ir.Value, sizes: Sequence[int]) -> None:
    weight = constants.array(node.inputs[1])
    if weight is None or weight.ndim != 5 or weight.dtype != np.float32:
        return
    channels, depth, height, width = sizes
    outputs, own, deep, *kernel = weight.shape
    groups = int(patterns.attribute(node, "group", 1))
    strides = tuple(patterns.attribute(node, "strides", (1, 1, 1)))
    dilations = tuple(patterns.attribute(node, "dilations", (1, 1, 1)))
    pads = _pads(node, (deep, *kernel), strides, dilations, (depth, height, width))
    if pads is None or own * groups != channels:
        return
    places = output_size(depth, deep, strides[0], pads[0], pads[3], dilations[0], False)
    if places < 1:
        return
    new = InPlaceOf(node)
    slices = _slices(x) or new.apply("Transpose", x, perm=_SLICES_FIRST)
    if pads[0] or pads[3]:
        slices = new.apply("Pad", slices, new.sizes(0, pads[0], 0, 0, 0, 0, pads[3], 0, 0, 0))
    end = (places - 1) * strides[0] + 1
    seen = [
        new.part(slices, 1, first, first + end, strides[0])
        for first in range(0, deep * dilations[0], dilations[0])
    ]
    if groups > 1:  # the slices of one group beside each other
        shape = new.sizes(-1, places, groups, own, height, width)
        seen = [new.apply("Reshape", part, shape) for part in seen]
    joined = seen[0] if deep == 1 else new.apply("Concat", *seen, axis=3 if groups > 1 else 2)
    images = new.apply("Reshape", joined, new.sizes(-1, channels * deep, height, width))
    stored = new.constant(
        weight.transpose(0, 2, 1, 3, 4).reshape(outputs, own * deep, *kernel), "weight"
    )
    image = new.apply(
        "Conv", images, stored, *node.inputs[2:3],
        group=groups, kernel_shape=kernel, strides=strides[1:], dilations=dilations[1:],
        pads=(pads[1], pads[2], pads[4], pads[5]),
    )  # fmt: skip
    new.name_last(node.name)
    spread = (
        output_size(height, kernel[0], strides[1], pads[1], pads[4], dilations[1], False),
        output_size(width, kernel[1], strides[2], pads[2], pads[5], dilations[2], False),
    )
    back = new.apply("Reshape", image, new.sizes(-1, places, outputs, *spread))
    result = new.apply("Transpose", back, perm=_SLICES_FIRST)
    new.finish()
    reshape = back.producer()
    assert reshape is not None
    push_before(graph, reshape, result, 5, _for_images)


def _slices(x: ir.Value) -> ir.Value | None:
    """``x`` with its depth before its channels, where it comes from that."""
    node = x.producer()
    if node is None or node.op_type != "Transpose" or node.domain != "":
        return None
    return node.inputs[0] if patterns.attribute(node, "perm", ()) == _SLICES_FIRST else None


def _for_images(elements: NDArray, axes: int, *, by_channel: bool) -> NDArray | None:
    """A constant of every channel of volumes, for images."""
    if by_channel:
        return elements
    shape = (1,) * (axes - elements.ndim) + elements.shape
    return elements.reshape(shape[:2] + (1, 1)) if elements.size == shape[1] else None


def _pooling(node: ir.Node, x: ir.Value, sizes: Sequence[int]) -> None:
    kernel = tuple(patterns.attribute(node, "kernel_shape", ()))
    if len(kernel) != 3 or any(patterns.is_read(value) for value in node.outputs[1:]):
        return
    strides = tuple(patterns.attribute(node, "strides", (1, 1, 1)))
    dilations = tuple(patterns.attribute(node, "dilations", (1, 1, 1)))
    pads = _pads(node, kernel, strides, dilations, sizes[1:])
    if pads is None or set(dilations) != {1}:
        return
    ceil = bool(patterns.attribute(node, "ceil_mode", 0))
    channels, *inner = sizes
    after = [
        output_size(inner[axis], kernel[axis], strides[axis], pads[axis], pads[axis + 3], 1, ceil)
        for axis in range(3)
    ]
    if min(after) < 1:
        return
    extra = {"ceil_mode": int(ceil)}
    if node.op_type == "AveragePool":
        extra["count_include_pad"] = patterns.attribute(node, "count_include_pad", 0)
    new = InPlaceOf(node)
    planes = x
    if math.prod(kernel[1:]) > 1 or math.prod(strides[1:]) > 1:
        planes = new.apply("Reshape", x, new.sizes(0, channels * inner[0], inner[1], inner[2]))
        planes = new.apply(
            node.op_type, planes, kernel_shape=kernel[1:], strides=strides[1:],
            pads=(pads[1], pads[2], pads[4], pads[5]), **extra,
        )  # fmt: skip
    if kernel[0] > 1 or strides[0] > 1:
        columns = new.sizes(0, channels, inner[0], after[1] * after[2])
        planes = new.apply(
            node.op_type, new.apply("Reshape", planes, columns), kernel_shape=(kernel[0], 1),
            strides=(strides[0], 1), pads=(pads[0], 0, pads[3], 0), **extra,
        )  # fmt: skip
    new.apply("Reshape", planes, new.sizes(0, channels, *after))
    new.finish()


def _pads(
    node: ir.Node,
    kernel: Sequence[int],
    strides: Sequence[int],
    dilations: Sequence[int],
    lengths: Sequence[int],
) -> tuple[int, ...] | None:
    """All begins, then all ends."""
    mode = patterns.attribute(node, "auto_pad", "NOTSET")
    if mode in ("NOTSET", ""):
        return tuple(patterns.attribute(node, "pads", (0,) * 6))
    found = automatic_pads(mode, kernel, strides, dilations, lengths)
    return None if found is None else (*found[0], *found[1])
