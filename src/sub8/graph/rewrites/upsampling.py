"""Normal forms of what enlarges images by whole factors: convolutions and movements."""

import itertools
import math
from dataclasses import dataclass

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.graph import constants, patterns, rewire
from sub8.graph.naming import node_name
from sub8.graph.rewrites.sinking import push_before
from sub8.numerics.rounding import divide_up


def normalise_upsampling(graph: ir.Graph) -> None:
    """ConvTranspose -> Conv and DepthToSpace. Needs inferred shapes.

    A transposed convolution by a stride of s makes s x s results around each position, each by a
    convolution with every s-th weight: so it is one convolution with s * s times the outputs, whose
    results are put side by side. Normalisation and functions of single elements behind it go before
    the movement, where they are part of the layer.
    """
    for node in patterns.standard_nodes(graph):
        if node.op_type == "ConvTranspose":
            _transposed(graph, node)


def _transposed(graph: ir.Graph, node: ir.Node) -> None:
    x, weight = node.inputs[0], constants.array(node.inputs[1])
    bias = constants.array(node.inputs[2]) if len(node.inputs) > 2 else None
    if x is None or weight is None or weight.dtype != np.float32 or weight.ndim not in (3, 4):
        return
    if len(node.inputs) > 2 and node.inputs[2] is not None and bias is None:
        return
    axes = weight.ndim - 2
    ones, zeros = (1,) * axes, (0,) * axes
    groups = patterns.attribute(node, "group", 1)
    strides = tuple(patterns.attribute(node, "strides", ones))
    pads = tuple(patterns.attribute(node, "pads", zeros * 2))
    extra = tuple(patterns.attribute(node, "output_padding", zeros))
    if (
        patterns.attribute(node, "auto_pad", "NOTSET") not in ("NOTSET", "", "VALID")
        or "output_shape" in node.attributes
        or tuple(patterns.attribute(node, "dilations", ones)) != ones
        or len(set(strides)) != 1
        or constants.is_constant(x)
        or weight.shape[0] % groups
    ):
        return
    stride, kernel = strides[0], weight.shape[2:]
    phases = [
        _Phases(kernel[axis], stride, pads[axis], pads[axes + axis], extra[axis])
        for axis in range(axes)
    ]
    if any(phase.before < 0 or phase.after < 0 for phase in phases):
        return
    name = node_name(node)
    stored = constants.add_initializer(
        graph, f"{name}.phases", _phase_weights(weight, groups, phases)
    )
    inputs: list[ir.Value | None] = [x, stored]
    if bias is not None:
        repeated = np.repeat(bias, stride**axes)
        inputs.append(constants.add_initializer(graph, f"{name}.phases.bias", repeated))
    conv = ir.node(
        "Conv",
        inputs,
        {
            "group": groups,
            "kernel_shape": tuple(phase.taps for phase in phases),
            "pads": (*(phase.before for phase in phases), *(phase.after for phase in phases)),
        },
        name=node.name,
    )
    node.name = None
    outputs = weight.shape[1] * groups
    chain = [conv, *_spread(graph, conv.outputs[0], name, outputs, stride, axes)]
    crops = [phase.crop for phase in phases]
    if any(crops):
        chain.append(_crop(graph, chain[-1].outputs[0], name, crops))
    rank = axes + 2
    for made in chain:
        made.outputs[0].dtype = ir.DataType.FLOAT
    rewire.replace(node, *chain)
    result = chain[-1].outputs[0]
    if result.shape is None:
        result.shape = ir.Shape([None] * rank)
    if len(chain) > 1:
        of_channel = _Repeated(stride**axes, outputs * stride**axes)
        push_before(graph, chain[1], result, rank, of_channel)


class _Phases:
    """One axis of a transposed convolution, for every of its ``stride`` phases.

    Result ``q * stride + r`` sums ``x[q + place - t] * weight[rest + t * stride]`` over t, where
    place and rest are the quotient and remainder of ``r + begin`` by the stride.
    taps: length of the convolution over x that all phases fit in. before, after: its padding. crop:
    results to drop at the end.
    """

    def __init__(self, kernel: int, stride: int, begin: int, end: int, extra: int):
        self.kernel, self.stride, self.begin = kernel, stride, begin
        reach = [(r + begin) // stride for r in range(stride)]
        deepest = [
            (r + begin) // stride - (divide_up(kernel - (r + begin) % stride, stride) - 1)
            for r in range(stride)
            if (r + begin) % stride < kernel
        ]
        self.first, last = min(deepest, default=0), max(reach)
        self.taps = last - self.first + 1
        # x of length H gives H * stride + longer results, in H + ceil(longer / stride) steps.
        longer = kernel - stride - begin - end + extra
        steps = divide_up(longer, stride)
        self.crop = steps * stride - longer
        self.before, self.after = -self.first, steps + last

    def places(self) -> list[tuple[int, int, int]]:
        """Phase, tap of the convolution, and the weight that lies there."""
        found = []
        for r in range(self.stride):
            place, rest = divmod(r + self.begin, self.stride)
            for t, k in enumerate(range(rest, self.kernel, self.stride)):
                found.append((r, place - t - self.first, k))
        return found


def _phase_weights(weight: np.ndarray, groups: int, phases: list[_Phases]) -> np.ndarray:
    """``[O * phases, I / groups, *taps]`` from ``[I, O / groups, *kernel]``; an output's phases lie
    side by side.
    """
    inputs, outputs = weight.shape[:2]
    strides = [phase.stride for phase in phases]
    by_group = weight.reshape(groups, inputs // groups, outputs, *weight.shape[2:])
    moved = np.moveaxis(by_group, 1, 2)  # [groups, O / groups, I / groups, *kernel]
    made = np.zeros(
        (groups, outputs, *strides, inputs // groups, *(phase.taps for phase in phases)), np.float32
    )
    for places in itertools.product(*(phase.places() for phase in phases)):
        r, tap, k = zip(*places, strict=True)
        made[(slice(None), slice(None), *r, slice(None), *tap)] = moved[(..., *k)]
    return made.reshape(-1, inputs // groups, *(phase.taps for phase in phases))


def _spread(
    graph: ir.Graph, x: ir.Value, name: str, channels: int, block: int, axes: int
) -> list[ir.Node]:
    """Put ``channels * block ** axes`` channels side by side, an output's lying together."""
    if block == 1:
        return []
    if axes == 2:
        node = ir.node("DepthToSpace", [x], {"blocksize": block, "mode": "CRD"})
        node.name = f"{name}.side_by_side"
        return [node]

    def shape(*sizes: int) -> ir.Value:
        return constants.add_initializer(graph, f"{name}.shape", np.array(sizes, np.int64))

    split = ir.node("Reshape", [x, shape(0, channels, block, -1)], name=f"{name}.split")
    order = ir.node("Transpose", split.outputs, {"perm": (0, 1, 3, 2)}, name=f"{name}.order")
    joined = [order.outputs[0], shape(0, channels, -1)]
    return [split, order, ir.node("Reshape", joined, name=f"{name}.joined")]


def _crop(graph: ir.Graph, x: ir.Value, name: str, crops: list[int]) -> ir.Node:
    axes = [axis + 2 for axis, crop in enumerate(crops) if crop]
    parts = {
        "starts": [0] * len(axes),
        "ends": [-crop for crop in crops if crop],
        "axes": axes,
    }
    values = [
        constants.add_initializer(graph, f"{name}.crop.{key}", np.array(part, np.int64))
        for key, part in parts.items()
    ]
    return ir.node("Slice", [x, *values], name=f"{name}.crop")


@dataclass(frozen=True)
class _Repeated:
    """Constants by channel, for ``count`` channels of which ``repeats`` each take those of one."""

    repeats: int
    count: int

    def __call__(self, elements: NDArray, axes: int, *, by_channel: bool) -> NDArray | None:
        shape = (1,) * (axes - elements.ndim) + elements.shape
        if by_channel:
            shape = (1, *elements.shape)
        if len(shape) < 2 or math.prod(shape) != shape[1] or shape[1] * self.repeats != self.count:
            return None
        return np.repeat(elements, self.repeats, axis=0 if by_channel else elements.ndim - axes + 1)
