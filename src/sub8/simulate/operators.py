"""ONNX float nodes as differentiable PyTorch functions: what a network computes between its
weighted layers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import onnx_ir as ir
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sub8.errors import UnsupportedModelError
from sub8.graph import constants, patterns
from sub8.graph.groups import Group

Values = Sequence[Any]
Function = Callable[[ir.Node, Values], Tensor | tuple[Tensor, ...]]


class Nodes(nn.Module):
    """A piece of a graph. Constants are buffers that no checkpoint holds; shapes and axes are plain
    integers.

    nodes: in topological order. results: names of the tensors to return.
    Raises UnsupportedModelError naming the first node that has no PyTorch form.
    """

    def __init__(self, nodes: Sequence[ir.Node], results: Sequence[str]):
        super().__init__()
        for node in nodes:
            if node.domain != "" or node.op_type not in FUNCTIONS:
                raise UnsupportedModelError(
                    f"node {node.name!r} ({node.op_type}) has no training form; leave it outside "
                    "the model or quantise without training"
                )
        self.nodes, self.results = tuple(nodes), tuple(results)
        self._integers: dict[str, tuple[int, ...]] = {}
        self._places: dict[str, str] = {}
        for value in dict.fromkeys(value for node in nodes for value in node.inputs):
            elements = constants.array(value)
            if value is None or elements is None:
                continue
            whole = constants.integers(value)
            if whole is not None:
                self._integers[str(value.name)] = whole
                continue
            place = f"constant{len(self._places)}"
            self.register_buffer(place, torch.tensor(elements), persistent=False)
            self._places[str(value.name)] = place

    def forward(self, values: Mapping[str, Tensor]) -> list[Tensor]:
        """The results for named activations, in the order of ``results``; computes in their
        type.
        """
        known: dict[str, Any] = dict(values)
        kind = next(iter(values.values())).dtype
        for node in self.nodes:
            arguments = [
                None if value is None else self._argument(str(value.name), known, kind)
                for value in node.inputs
            ]
            found = FUNCTIONS[node.op_type](node, arguments)
            results = found if isinstance(found, tuple) else (found,)
            for value, result in zip(node.outputs, results, strict=False):
                known[str(value.name)] = result
        return [known[name] for name in self.results]

    def _argument(self, name: str, known: Mapping[str, Any], kind: torch.dtype) -> Any:
        if name in known:
            return known[name]
        if name in self._integers:
            return self._integers[name]
        return getattr(self, self._places[name]).to(kind)


def same_padding(
    x: Tensor, pads: Sequence[int], value: float = 0.0
) -> tuple[Tensor, tuple[int, int]]:
    """ONNX pads (top, left, bottom, right) as PyTorch's symmetric ones, after padding ``x`` where
    they differ.
    """
    top, left, bottom, right = pads
    if top == bottom and left == right:
        return x, (top, left)
    return F.pad(x, (left, right, top, bottom), value=value), (0, 0)


def convolution(node: ir.Node, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A Conv node with another weight ``[O, I, KH, KW]`` and bias ``[O]``."""
    x, padding = same_padding(x, patterns.attribute(node, "pads", (0, 0, 0, 0)))
    return F.conv2d(
        x,
        weight,
        bias,
        stride=tuple(patterns.attribute(node, "strides", (1, 1))),
        padding=padding,
        dilation=tuple(patterns.attribute(node, "dilations", (1, 1))),
        groups=patterns.attribute(node, "group", 1),
    )


def product(node: ir.Node, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """A Conv, Gemm or MatMul node with another weight ``[O, I, *kernel]`` and bias ``[O]``."""
    if node.op_type == "Conv":
        return convolution(node, x, weight, bias)
    return F.linear(x, weight, bias)


def _conv(node: ir.Node, values: Values) -> Tensor:
    x, weight, *bias = values
    return convolution(node, x, weight, bias[0] if bias else None)


def _gemm(node: ir.Node, values: Values) -> Tensor:
    x, weight, *bias = values
    return F.linear(x, weight, bias[0] if bias else None)


def _clip(node: ir.Node, values: Values) -> Tensor:
    x, low, high = (*values, None, None)[:3]
    if low is not None:
        x = torch.maximum(x, low)
    return x if high is None else torch.minimum(x, high)


def _max_pool(node: ir.Node, values: Values) -> Tensor:
    kernel = tuple(node.attributes["kernel_shape"].value)
    pads = patterns.attribute(node, "pads", (0, 0, 0, 0))
    symmetric = tuple(pads[:2]) == tuple(pads[2:])
    fits = symmetric and all(2 * pad <= size for pad, size in zip(pads, kernel, strict=False))
    x, padding = values[0], tuple(pads[:2])
    if not fits:
        x = F.pad(x, (pads[1], pads[3], pads[0], pads[2]), value=-math.inf)
        padding = (0, 0)
    return F.max_pool2d(
        x,
        kernel,
        tuple(patterns.attribute(node, "strides", (1, 1))),
        padding,
        tuple(patterns.attribute(node, "dilations", (1, 1))),
        bool(patterns.attribute(node, "ceil_mode", 0)),
    )


def _average_pool(node: ir.Node, values: Values) -> Tensor:
    kernel = tuple(node.attributes["kernel_shape"].value)
    pads = patterns.attribute(node, "pads", (0, 0, 0, 0))
    counted = bool(patterns.attribute(node, "count_include_pad", 0))
    if tuple(pads[:2]) != tuple(pads[2:]) and any(pads) and not counted:
        raise UnsupportedModelError(
            f"node {node.name!r}: average pooling with uneven padding has no training form"
        )
    x, padding = same_padding(values[0], pads)
    return F.avg_pool2d(
        x,
        kernel,
        tuple(patterns.attribute(node, "strides", (1, 1))),
        padding,
        bool(patterns.attribute(node, "ceil_mode", 0)),
        counted,
    )


def _reshape(node: ir.Node, values: Values) -> Tensor:
    x, target = values
    return x.reshape([x.shape[axis] if size == 0 else size for axis, size in enumerate(target)])


def _slice(node: ir.Node, values: Values) -> Tensor:
    x, starts, ends, axes, steps = (*values, None, None)[:5]
    axes = tuple(range(len(starts))) if axes is None else axes
    steps = (1,) * len(starts) if steps is None else steps
    index: list[slice] = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        index[axis] = slice(start, end, step)
    return x[tuple(index)]


def _split(node: ir.Node, values: Values) -> tuple[Tensor, ...]:
    axis = patterns.attribute(node, "axis", 0)
    x, sizes = (*values, None)[:2]
    if sizes is None:
        piece = -(-x.shape[axis] // len(node.outputs))
        return torch.split(x, piece, axis)
    return torch.split(x, list(sizes), axis)


def _pad(node: ir.Node, values: Values) -> Tensor:
    x, pads, fill, axes = (*values, None, None)[:4]
    chosen = range(x.ndim) if axes is None else axes
    widths = [0] * (2 * x.ndim)
    for place, axis in enumerate(chosen):
        last = 2 * (x.ndim - 1 - axis % x.ndim)
        widths[last], widths[last + 1] = pads[place], pads[place + len(pads) // 2]
    return F.pad(x, widths, value=0.0 if fill is None else float(fill))


def _softmax(node: ir.Node, values: Values) -> Tensor:
    return torch.softmax(values[0], patterns.attribute(node, "axis", -1))


def _layer_norm(node: ir.Node, values: Values) -> Tensor:
    x, gamma, beta = (*values, None)[:3]
    axis = patterns.attribute(node, "axis", -1)
    shape = x.shape[axis % x.ndim :]
    return F.layer_norm(x, shape, gamma, beta, patterns.attribute(node, "epsilon", 1e-5))


def _flatten(node: ir.Node, values: Values) -> Tensor:
    axis = patterns.attribute(node, "axis", 1)
    return values[0].reshape(math.prod(values[0].shape[:axis]), -1)


def _gelu(node: ir.Node, values: Values) -> Tensor:
    how = patterns.attribute(node, "approximate", "none")
    return F.gelu(values[0], approximate=how)


def _hard_sigmoid(node: ir.Node, values: Values) -> Tensor:
    alpha, beta = patterns.attribute(node, "alpha", 0.2), patterns.attribute(node, "beta", 0.5)
    return torch.clamp(values[0] * alpha + beta, 0.0, 1.0)


def _swish(node: ir.Node, values: Values) -> Tensor:
    x = values[0]
    return x * torch.sigmoid(patterns.attribute(node, "alpha", 1.0) * x)


def _reduce_mean(node: ir.Node, values: Values) -> Tensor:
    x, axes = (*values, None)[:2]
    keep = bool(patterns.attribute(node, "keepdims", 1))
    return x.mean(dim=tuple(range(x.ndim)) if axes is None else axes, keepdim=keep)


def _unary(function: Callable[[Tensor], Tensor]) -> Function:
    return lambda node, values: function(values[0])


def _binary(function: Callable[[Tensor, Tensor], Tensor]) -> Function:
    return lambda node, values: function(values[0], values[1])


FUNCTIONS: dict[str, Function] = {
    "Conv": _conv,
    "Gemm": _gemm,
    "MatMul": _binary(torch.matmul),
    "Relu": _unary(torch.relu),
    "Clip": _clip,
    "MaxPool": _max_pool,
    "AveragePool": _average_pool,
    "GlobalAveragePool": _unary(lambda x: x.mean(dim=(2, 3), keepdim=True)),
    "GlobalMaxPool": _unary(lambda x: x.amax(dim=(2, 3), keepdim=True)),
    "ReduceMean": _reduce_mean,
    "Reshape": _reshape,
    "Flatten": _flatten,
    "Transpose": lambda node, values: values[0].permute(
        *patterns.attribute(node, "perm", tuple(reversed(range(values[0].ndim))))
    ),
    "Concat": lambda node, values: torch.cat(list(values), dim=node.attributes["axis"].value),
    "Expand": lambda node, values: torch.broadcast_to(
        values[0], torch.broadcast_shapes(values[0].shape, values[1])
    ),
    "Slice": _slice,
    "Split": _split,
    "Pad": _pad,
    "Squeeze": lambda node, values: torch.squeeze(values[0], tuple(values[1])),
    "Unsqueeze": lambda node, values: values[0].reshape(
        _unsqueezed(values[0].shape, tuple(values[1]))
    ),
    "Add": _binary(torch.add),
    "Sub": _binary(torch.sub),
    "Mul": _binary(torch.mul),
    "Div": _binary(torch.div),
    "Pow": _binary(torch.pow),
    "Min": _binary(torch.minimum),
    "Max": _binary(torch.maximum),
    "Abs": _unary(torch.abs),
    "Neg": _unary(torch.neg),
    "Exp": _unary(torch.exp),
    "Log": _unary(torch.log),
    "Sqrt": _unary(torch.sqrt),
    "Reciprocal": _unary(torch.reciprocal),
    "Erf": _unary(torch.erf),
    "Tanh": _unary(torch.tanh),
    "Sigmoid": _unary(torch.sigmoid),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _unary(F.hardswish),
    "Softplus": _unary(F.softplus),
    "Mish": _unary(F.mish),
    "Gelu": _gelu,
    "Swish": _swish,
    "LeakyRelu": lambda node, values: F.leaky_relu(
        values[0], patterns.attribute(node, "alpha", 0.01)
    ),
    "Elu": lambda node, values: F.elu(values[0], patterns.attribute(node, "alpha", 1.0)),
    "Softmax": _softmax,
    "LayerNormalization": _layer_norm,
}


def _unsqueezed(shape: Sequence[int], axes: Sequence[int]) -> list[int]:
    rank = len(shape) + len(axes)
    ones = {axis % rank for axis in axes}
    sizes = iter(shape)
    return [1 if axis in ones else next(sizes) for axis in range(rank)]


def nodes_behind(group: Group, start: ir.Value) -> list[ir.Node]:
    """The group's nodes after its accumulator: residual and clamps."""
    nodes = list(group.nodes)
    producer = start.producer()
    assert producer is not None
    return nodes[nodes.index(producer) + 1 :]


def function_of(nodes: list[ir.Node], result: str) -> Nodes | None:
    """The function of some nodes, None where there are none."""
    return Nodes(nodes, [result]) if nodes else None
