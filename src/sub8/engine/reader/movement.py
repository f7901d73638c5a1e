"""Data movement and pooling: on 8-bit tensors at once, behind pending accumulators by exchange with
the rounding.
"""

import dataclasses
import math

import onnx_ir as ir

from sub8.engine.plan import operators as p
from sub8.engine.reader.layers import explicit_pads, pair
from sub8.engine.reader.state import GraphState, input_at
from sub8.engine.reader.values import Integers, Joined, Known, Moved, Pending, Template
from sub8.engine.reader.weights import real_scalar
from sub8.graph import constants, patterns
from sub8.graph.constants import follows_from_constants
from sub8.graph.naming import node_name
from sub8.graph.patterns import rank, sizes
from sub8.numerics.accumulators import LARGEST_INT32

# Every element is there at least once behind it: the largest is the same.
_ALL_KEPT = (p.Reshape, p.Transpose, p.Repeat, p.Blocks, p.Border)


def read_reshape(state: GraphState, node: ir.Node) -> list[Known] | None:
    """Reshape, Flatten, Squeeze, Unsqueeze: any target that leaves at most one size open."""
    target = _constant_target(node) or patterns.reshape_target(node.inputs[0], node.outputs[0])
    if target is None:
        return None
    template = p.Reshape(name=node_name(node), x="", out="", shape=target)
    return _move(state, node, template, keeps_images=_same_images(node, target))


def read_transpose(state: GraphState, node: ir.Node) -> list[Known] | None:
    perm = patterns.attribute(node, "perm", None)
    if perm is None:
        known_rank = rank(node.inputs[0])
        if known_rank is None:
            return None
        perm = range(known_rank)[::-1]
    template = p.Transpose(
        name=node_name(node), x="", out="", perm=tuple(int(axis) for axis in perm)
    )
    return _move(state, node, template, keeps_images=template.perm[0] == 0)


def read_slice(state: GraphState, node: ir.Node) -> list[Known] | None:
    known_rank = rank(node.inputs[0])
    starts, ends = constants.integers(node.inputs[1]), constants.integers(node.inputs[2])
    if known_rank is None or starts is None or ends is None:
        return None
    axes = (
        constants.integers(input_at(node, 3))
        if input_at(node, 3) is not None
        else tuple(range(len(starts)))
    )
    steps = (
        constants.integers(input_at(node, 4))
        if input_at(node, 4) is not None
        else (1,) * len(starts)
    )
    if axes is None or steps is None or min(steps, default=1) < 1:
        return None
    axes = tuple(axis % known_rank for axis in axes)
    steps = tuple(min(step, LARGEST_INT32) for step in steps)  # longer than any axis, all the same
    template = p.Slice(
        name=node_name(node), x="", out="", starts=starts, ends=ends, axes=axes, steps=steps
    )
    return _move(state, node, template, keeps_images=0 not in axes)


def read_split(state: GraphState, node: ir.Node) -> list[Known] | None:
    known_rank, shape = rank(node.inputs[0]), sizes(node.inputs[0])
    if known_rank is None or shape is None:
        return None
    axis = int(patterns.attribute(node, "axis", 0)) % known_rank
    given = input_at(node, 1)
    parts = constants.integers(given)
    if given is None:
        size, count = shape[axis], len(node.outputs)
        if not isinstance(size, int):
            return None
        each = -(-size // count)
        parts = (*(each,) * (count - 1), size - each * (count - 1))
    if parts is None:
        return None
    results: list[Known] = []
    start = 0
    for part, value in zip(parts, node.outputs, strict=True):
        name = f"{node_name(node)}.{len(results)}"
        template = p.Slice(
            name=name, x="", out="", starts=(start,), ends=(start + part,), axes=(axis,), steps=(1,)
        )
        moved = _move(state, node, template, keeps_images=axis != 0, result=value)
        if moved is None:
            return None
        results += moved
        start += part
    return results


def read_resize(state: GraphState, node: ir.Node) -> list[Known] | None:
    """The nearest element, or linearly between neighbours, by whole factors."""
    linear = patterns.interpolation(node)
    if linear is not None:
        x = state.real_integers(node.inputs[0])
        if x is None or x.fmt.dynamic:
            return None
        core = p.Interpolate(
            name=node_name(node), x=x.tensor, out="", low=0, high=0, factors=linear[0],
            centred=linear[1],
        )  # fmt: skip
        return [Pending(core)]
    factors = patterns.resize_factors(node)
    if factors is None or max(factors) > LARGEST_INT32:
        return None
    template = p.Repeat(name=node_name(node), x="", out="", factors=factors)
    return _move(state, node, template, keeps_images=factors[0] == 1)


def read_expand(state: GraphState, node: ir.Node) -> list[Known] | None:
    """To a constant shape, of as many axes."""
    factors = patterns.expand_factors(node)
    if factors is None or max(factors) > LARGEST_INT32:
        return None
    template = p.Repeat(name=node_name(node), x="", out="", factors=factors)
    return _move(state, node, template, keeps_images=factors[0] == 1)


def read_blocks(state: GraphState, node: ir.Node) -> list[Known] | None:
    """DepthToSpace and SpaceToDepth."""
    block = int(patterns.attribute(node, "blocksize", 0))
    if rank(node.inputs[0]) != 4 or not 1 <= block <= LARGEST_INT32:
        return None
    to_space = node.op_type == "DepthToSpace"
    together = not to_space or patterns.attribute(node, "mode", "DCR") == "DCR"
    template = p.Blocks(
        name=node_name(node), x="", out="", block=block, to_space=to_space, together=together
    )
    return _move(state, node, template, keeps_images=True)


def read_pad(state: GraphState, node: ir.Node) -> list[Known] | None:
    """Padding of an 8-bit tensor with its own elements, or with a number that its format holds
    exactly.
    """
    x, known_rank = state.of(node.inputs[0]), rank(node.inputs[0])
    pads = constants.integers(node.inputs[1])
    if x is None or pads is None or known_rank is None:
        return None
    axes = (
        constants.integers(input_at(node, 3))
        if input_at(node, 3) is not None
        else tuple(range(known_rank))
    )
    if axes is None or len(pads) != 2 * len(axes):
        return None
    begins, ends = [0] * known_rank, [0] * known_rank
    for index, axis in enumerate(axes):
        begins[axis % known_rank] = pads[index]
        ends[axis % known_rank] = pads[index + len(axes)]
    mode = patterns.attribute(node, "mode", "constant")
    if mode != "constant":
        return _read_border(state, node, x, begins, ends, mode)
    fill = input_at(node, 2)
    number = 0.0 if fill is None else real_scalar(fill)
    if not isinstance(x, Integers) or number is None or not math.isfinite(number):
        return None
    value = number
    if x.real:
        if x.fmt.dynamic and number != 0.0:
            return None
        value = number / (x.fmt.scale or 1.0) + x.fmt.zero_point
    if value != int(value) or not x.fmt.low <= value <= x.fmt.high:
        return None
    if x.fmt.dynamic and (begins[0] or ends[0]):
        return None
    out = _integer_name(state, x, node.outputs[0])
    state.emitter.add(
        p.Pad(name=node_name(node), x=x.tensor, out=out, pads=(*begins, *ends), value=int(value)),
        x.fmt,
    )
    return [dataclasses.replace(x, tensor=out)]


def _read_border(
    state: GraphState, node: ir.Node, x: Known, begins: list[int], ends: list[int], mode: str
) -> list[Known] | None:
    wide = [axis for axis in range(len(begins)) if begins[axis] or ends[axis]]
    if min(*begins, *ends) < 0 or mode not in ("reflect", "edge", "wrap") or not wide:
        return None
    found: list[Known] | None = [x]
    for axis in wide:
        template = p.Border(
            name=node_name(node) if axis == wide[-1] else f"{node_name(node)}.{axis}",
            x="", out="", axis=axis, begin=begins[axis], end=ends[axis], mode=mode,
        )  # fmt: skip
        assert found is not None
        found = _moved(state, found[0], node.outputs[0], template, keeps_images=axis > 0)
        if found is None:
            return None
    return found


def read_concat(state: GraphState, node: ir.Node) -> list[Known] | None:
    """Tensors of one static format at once; others when their common format is known."""
    known_rank = rank(node.inputs[0])
    if known_rank is None or any(follows_from_constants(value) for value in node.inputs):
        return None
    axis = int(patterns.attribute(node, "axis", 0)) % known_rank
    parts: list[Known] = []
    for value in node.inputs:
        known = state.of(value)
        if not isinstance(known, (Integers, Pending, Moved, Joined)):
            return None
        if isinstance(known, Integers) and known.fmt.dynamic:
            return None
        parts.append(known)
    tensors = [part for part in parts if isinstance(part, Integers)]
    if len(tensors) == len(parts) and all(
        part.fmt == tensors[0].fmt and part.real == tensors[0].real for part in tensors
    ):
        out = _integer_name(state, tensors[0], node.outputs[0])
        names = tuple(part.tensor for part in tensors)
        state.emitter.add(
            p.Concat(name=node_name(node), xs=names, axis=axis, out=out), tensors[0].fmt
        )
        return [dataclasses.replace(tensors[0], tensor=out)]
    if any(isinstance(part, Integers) and not part.real for part in parts):
        return None
    return [Joined(tuple(parts), axis, node_name(node))]  # type: ignore[arg-type]


def read_max_pool(state: GraphState, node: ir.Node) -> list[Known] | None:
    if rank(node.inputs[0]) != 4 or (len(node.outputs) > 1 and _used(node.outputs[1])):
        return None
    kernel, strides = pair(node, "kernel_shape"), pair(node, "strides")
    dilations = pair(node, "dilations")
    if kernel is None or strides is None or dilations is None:
        return None
    pads = explicit_pads(node, kernel, strides, (1, 1))  # ONNX Runtime's rule for dilated ones too
    if pads is None:
        return None
    template = p.MaxPool(
        name=node_name(node), x="", out="", kernel=kernel, strides=strides, pads=pads,
        dilations=dilations,
        ceil_mode=bool(patterns.attribute(node, "ceil_mode", 0)),
    )  # fmt: skip
    moved = _move(state, node, template, keeps_images=True)
    return None if moved is None else moved * len(node.outputs)


def read_global_max_pool(state: GraphState, node: ir.Node) -> list[Known] | None:
    shape = sizes(node.inputs[0])
    if (
        shape is None
        or len(shape) != 4
        or not (isinstance(shape[2], int) and isinstance(shape[3], int))
    ):
        return None
    template = p.MaxPool(name=node_name(node), x="", out="", kernel=(shape[2], shape[3]))
    return _move(state, node, template, keeps_images=True)


def read_average_pool(state: GraphState, node: ir.Node) -> list[Known] | None:
    x = state.real_integers(node.inputs[0])
    if x is None or rank(node.inputs[0]) != 4:
        return None
    if node.op_type == "GlobalAveragePool":
        return [
            Pending(
                p.AveragePool(name=node_name(node), x=x.tensor, out="", kernel=None, low=0, high=0)
            )
        ]
    kernel, strides = pair(node, "kernel_shape"), pair(node, "strides")
    if kernel is None or strides is None or pair(node, "dilations") != (1, 1):
        return None
    pads = explicit_pads(node, kernel, strides, (1, 1))
    if pads is None:
        return None
    core = p.AveragePool(
        name=node_name(node), x=x.tensor, out="", kernel=kernel, low=0, high=0, strides=strides,
        pads=pads,
        ceil_mode=bool(patterns.attribute(node, "ceil_mode", 0)),
        count_include_pad=bool(patterns.attribute(node, "count_include_pad", 0)),
    )  # fmt: skip
    return [Pending(core)]


def read_reduce_mean(state: GraphState, node: ir.Node) -> list[Known] | None:
    """The mean over both spatial axes of ``[B, C, H, W]``."""
    x = state.real_integers(node.inputs[0])
    axes = constants.integers(input_at(node, 1)) if input_at(node, 1) is not None else None
    axes = axes if axes is not None else patterns.attribute(node, "axes", None)
    if (
        x is None
        or rank(node.inputs[0]) != 4
        or axes is None
        or {axis % 4 for axis in axes} != {2, 3}
    ):
        return None
    name = node_name(node)
    pooled = Pending(p.AveragePool(name=name, x=x.tensor, out="", kernel=None, low=0, high=0))
    if patterns.attribute(node, "keepdims", 1):
        return [pooled]
    return [Moved(pooled, p.Reshape(name=name, x="", out="", shape=(0, 0)), True)]


def _move(
    state: GraphState,
    node: ir.Node,
    template: Template,
    *,
    keeps_images: bool,
    result: ir.Value | None = None,
) -> list[Known] | None:
    return _moved(
        state, state.of(node.inputs[0]), result or node.outputs[0], template,
        keeps_images=keeps_images,
    )  # fmt: skip


def _moved(
    state: GraphState,
    known: Known | None,
    result: ir.Value,
    template: Template,
    *,
    keeps_images: bool,
) -> list[Known] | None:
    if isinstance(known, Integers):
        if known.fmt.dynamic and not keeps_images:
            return None
        out = _integer_name(state, known, result)
        state.emitter.add(dataclasses.replace(template, x=known.tensor, out=out), known.fmt)
        return [dataclasses.replace(known, tensor=out)]
    if isinstance(known, (Pending, Moved, Joined)):
        rearranges = keeps_images and isinstance(template, _ALL_KEPT)
        return [Moved(known, template, rearranges)]
    return None


def _integer_name(state: GraphState, like: Integers, value: ir.Value) -> str:
    """A name for the integers behind ``value``: its own where the graph moves the integers
    themselves.
    """
    return state.emitter.fresh(f"{value.name}.integers") if like.real else str(value.name)


def _constant_target(node: ir.Node) -> tuple[int, ...] | None:
    if node.op_type == "Reshape":
        target = constants.integers(node.inputs[1])
        if target is None or (patterns.attribute(node, "allowzero", 0) and 0 in target):
            return None
        return target
    if node.op_type == "Flatten" and patterns.attribute(node, "axis", 1) == 1:
        return (0, -1)
    return None


def _same_images(node: ir.Node, target: tuple[int, ...]) -> bool:
    """Whether axis 0 provably counts the same images before and after."""
    if not target:
        return False
    if target[0] == 0:
        return True
    before, after = sizes(node.inputs[0]), sizes(node.outputs[0])
    if before and after and before[0] is not None and before[0] == after[0]:
        return True
    if not before or target[0] != -1:
        return False
    # [-1, rest]: the images stay where the rest multiplies to one image's elements.
    inner, rest = before[1:], target[1:]
    numbers = [size for size in inner if isinstance(size, int)]
    return len(numbers) == len(inner) and 0 not in rest and math.prod(numbers) == math.prod(rest)


def _used(value: ir.Value) -> bool:
    return bool(value.uses()) or value.is_graph_output()
