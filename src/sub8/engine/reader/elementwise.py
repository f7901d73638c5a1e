"""Sums, products, clamps and element-wise functions of dequantised tensors and pending
accumulators.
"""

import dataclasses
from typing import assert_never

import numpy as np
import onnx_ir as ir

from sub8.engine.plan import operators as p
from sub8.engine.reader.layers import add_bias, read_linear
from sub8.engine.reader.state import GraphState, both_inputs, bounds_of_clip
from sub8.engine.reader.values import (
    Clamp,
    Function,
    Integers,
    Joined,
    Known,
    Lazy,
    Moved,
    Pending,
    Rows,
)
from sub8.engine.reader.weights import read_terms, real_scalar, real_values
from sub8.graph import constants, patterns
from sub8.graph.constants import follows_from_constants
from sub8.graph.naming import node_name
from sub8.graph.patterns import rank, same_shape, sizes
from sub8.numerics.accumulators import LONGEST_PRODUCT
from sub8.numerics.dfp import Format


def read_clamp(state: GraphState, node: ir.Node) -> list[Known] | None:
    """Relu, or Clip with constant bounds."""
    bounds = bounds_of_clip(node)
    known = state.of(node.inputs[0])
    if bounds is None or known is None:
        return None
    clamp = Clamp(*bounds)
    if isinstance(known, (Pending, Moved, Joined)):
        clamped = _clamped(state, known, clamp)
        return None if clamped is None else [clamped]
    return read_function(state, node, clamp)


def read_add(state: GraphState, node: ir.Node) -> list[Known] | None:
    """A bias, a residual, the sum of two dequantised tensors, or a function of one."""
    a, b = both_inputs(node)
    for pending_value, other in ((a, b), (b, a)):
        pending = state.of(pending_value)
        if not isinstance(pending, Pending):
            continue
        if follows_from_constants(other):
            biased = add_bias(state, pending, other, pending_value)
            return None if biased is None else [biased]
        residual = state.real_integers(other)
        layer = pending.core
        if residual is None or not pending.plain_layer:
            return None
        both_unknown = rank(pending_value) is None and rank(other) is None
        if not (both_unknown or same_shape(pending_value, other)):
            return None
        assert isinstance(layer, (p.Conv, p.Linear))
        layer = dataclasses.replace(layer, residual=residual.tensor)
        return [Pending(layer)] if _fits_dynamic(state, layer) else None
    function = read_function(state, node)
    if function is not None:
        return function
    pair = _operands(state, a, b)
    if pair is None:
        return None
    core = p.Add(name=node_name(node), a=pair[0].tensor, b=pair[1].tensor, out="", low=0, high=0)
    return [Pending(core)] if _fits_dynamic(state, core) else None


def read_two(state: GraphState, node: ir.Node) -> list[Known] | None:
    """The product or the difference of two dequantised tensors, or a function of one."""
    function = read_function(state, node)
    if function is not None:
        return function
    pair = _operands(state, *both_inputs(node))
    if pair is None or pair[0].fmt.dynamic or pair[1].fmt.dynamic:
        return None
    kind = p.Mul if node.op_type == "Mul" else p.Sub
    core = kind(name=node_name(node), a=pair[0].tensor, b=pair[1].tensor, out="", low=0, high=0)
    return [Pending(core)]


def read_matmul(state: GraphState, node: ir.Node) -> list[Known] | None:
    """A layer, or the product of two dequantised tensors of matrices."""
    a, b = both_inputs(node)
    if follows_from_constants(b):
        layer = read_linear(state, node)
        if layer is not None or node_name(node) in state.left_float:
            return layer
    pair = _operands(state, a, b)
    if pair is None or pair[0].fmt.dynamic or pair[1].fmt.dynamic:
        return None
    inner = [(sizes(a) or (None,))[-1], *(sizes(b) or (None,))[-2:-1]]
    axes = (rank(a), rank(b))
    if None in axes or min(count for count in axes if count is not None) < 2:
        return None
    if any(isinstance(size, int) and size > LONGEST_PRODUCT for size in inner):
        state.left_float[node_name(node)] = "its sums could pass 32 bits"
        return None
    core = p.MatMul(name=node_name(node), a=pair[0].tensor, b=pair[1].tensor, out="", low=0, high=0)
    return [Pending(core)]


def read_function(
    state: GraphState, node: ir.Node, clamp: Clamp | None = None
) -> list[Known] | None:
    """An element-wise node whose operands are functions of one 8-bit tensor, or numbers: single
    ones, or one a channel.
    """
    if node.op_type not in patterns.ELEMENTWISE or len(node.outputs) != 1:
        return None
    source: Integers | None = None
    sources: set[ir.Value] = set()
    so_far: Clamp | None = Clamp()
    channels: tuple[int, int, int] | None = None
    operands = [value for value in node.inputs if value is not None]
    axes = max(
        (rank(value) or 1 for value in operands if not follows_from_constants(value)), default=0
    )
    for value in operands:
        if follows_from_constants(value):
            if real_scalar(value) is not None and (rank(value) or 0) <= axes:
                continue
            own = _channels(value, axes, operands)
            if own is None or channels not in (None, own):
                return None
            channels = own
            continue
        known = state.of(value)
        if isinstance(known, Function):
            part, sources, so_far = known.source, sources | known.sources, known.clamp
            if known.channels is not None and channels not in (None, known.channels):
                return None
            channels = known.channels or channels
        elif isinstance(known, Integers) and known.real:
            part, sources = known, sources | {value}
        else:
            return None
        if source is not None and part.tensor != source.tensor:
            return None
        source = part
    if source is None:
        return None
    combined = so_far.then(clamp) if so_far is not None and clamp is not None else None
    if channels is not None:
        combined = None
        if channels[1] < 2:
            return None
    if source.fmt.dynamic and combined is None:
        return None
    return [Function(source, frozenset(sources), node.outputs[0], combined, channels)]


def _channels(
    constant: ir.Value, axes: int, operands: list[ir.Value]
) -> tuple[int, int, int] | None:
    """The axis of ``axes`` along which a constant varies, and its length; None where it varies
    along several, or would make the result larger than the operands.
    """
    elements = real_values(constant)
    if elements is None or not np.isfinite(elements).all():
        return None
    axis = patterns.varying_axis(elements.shape, axes)
    if axis is None:
        return None
    length = elements.size
    for value in operands:
        shape = patterns.sizes(value)
        if not follows_from_constants(value) and (
            shape is None or len(shape) != axes or shape[axis] != length
        ):
            return None
    return axis, axes, length


def _clamped(state: GraphState, known: Lazy, clamp: Clamp) -> Lazy | None:
    """``known`` with a clamp, which commutes with movement."""
    match known:
        case Pending():
            return dataclasses.replace(known, clamp=known.clamp.then(clamp))
        case Moved():
            inner = _clamped(state, known.inner, clamp)
            return None if inner is None else dataclasses.replace(known, inner=inner)
        case Joined():
            parts: list[Integers | Lazy] = []
            for part in known.parts:
                if not isinstance(part, (Pending, Moved, Joined)):
                    return None
                inner = _clamped(state, part, clamp)
                if inner is None:
                    return None
                parts.append(inner)
            return dataclasses.replace(known, parts=tuple(parts))
        case Function() | Rows():
            return None
        case _:
            assert_never(known)


def _operands(state: GraphState, a: ir.Value, b: ir.Value) -> tuple[Integers, Integers] | None:
    first = state.real_integers(a) or _constant(state, a)
    second = state.real_integers(b) or _constant(state, b)
    return None if first is None or second is None else (first, second)


def _constant(state: GraphState, value: ir.Value) -> Integers | None:
    """A constant that the file stores as 8-bit integers of one scale."""
    node = value.producer()
    terms = read_terms(value) if follows_from_constants(value) else None
    if node is None or node.op_type != "DequantizeLinear" or terms is None:
        return None
    stored, zero = (
        constants.array(node.inputs[0]),
        constants.scalar(node.inputs[2] if len(node.inputs) > 2 else None),
    )
    scale = constants.scalar(node.inputs[1])
    if stored is None or scale is None or stored.dtype not in (np.int8, np.uint8):
        return None
    fmt = Format(stored.dtype == np.int8, scale, int(zero or 0))
    name = state.emitter.fresh(f"{value.name}.constant")
    state.emitter.add(p.Constant(name=node_name(node), value=stored, out=name), fmt)
    return Integers(name, fmt, real=True)


def _fits_dynamic(state: GraphState, core: p.Conv | p.Linear | p.Add) -> bool:
    """Dynamic operands go with powers of two only, and are not broadcast along the images."""
    names = (core.a, core.b) if isinstance(core, p.Add) else (core.x, core.residual)
    formats = [
        fmt
        for name in names
        if name is not None and (fmt := state.emitter.formats[name]) is not None
    ]
    if not any(fmt.dynamic for fmt in formats):
        return True
    return all(fmt.is_power for fmt in formats)
