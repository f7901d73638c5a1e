"""Shapes of every tensor of a plan for given input shapes; the first place where a wrong input is noticed."""

from collections.abc import Mapping

import numpy as np

from sub8.engine.plan import operators as p
from sub8.errors import InputError
from sub8.numerics.operators import reshape_target
from sub8.numerics.windows import output_size

Shape = tuple[int, ...]


def infer_shapes(plan: p.Plan, known: Mapping[str, Shape]) -> dict[str, Shape]:
    """The logical shape of every tensor that follows from those of the inputs and of islands' results.

    known: of the plan's inputs, and of the results of the islands that have run: what ONNX Runtime makes of
    float nodes may depend on the values. Tensors behind the first island that has not run are left out.

    Raises InputError, naming the node, where shapes do not fit an operator.
    """
    shapes: dict[str, Shape] = {}
    for name in plan.inputs:
        if name not in known:
            raise InputError(
                f"input {name!r} is missing; the model's inputs: {', '.join(plan.inputs)}"
            )
        shapes[name] = tuple(known[name])
    for operator in plan.operators:
        if not isinstance(operator, p.Island):
            shapes[operator.out] = operator_shape(operator, shapes)
        elif all(name in known for name in operator.outputs):
            shapes.update((name, tuple(known[name])) for name in operator.outputs)
        else:
            break
    return shapes


def operator_shape(operator: p.Operator, shapes: Mapping[str, Shape]) -> Shape:
    """The shape of an operator's result. Raises InputError, naming the node."""
    match operator:
        case p.Constant():
            return operator.value.shape
        case p.Add() | p.Mul():
            a, b = shapes[operator.a], shapes[operator.b]
            try:
                return np.broadcast_shapes(a, b)
            except ValueError as error:
                raise _misfit(
                    operator, f"shapes {list(a)} and {list(b)} do not broadcast"
                ) from error
        case p.Concat():
            return _concat(operator, shapes)
        case p.Conv():
            return _conv(operator, shapes)
        case p.Linear():
            return _linear(operator, shapes)
        case p.Island():
            raise TypeError("an island has several results")
    x = shapes[operator.x]
    match operator:
        case p.MaxPool() | p.AveragePool():
            return _pool(operator, x)
        case p.Slice():
            return _slice(operator, x)
        case p.Pad():
            return _pad(operator, x)
        case p.Reshape():
            try:
                return reshape_target(x, operator.shape)
            except ValueError as error:
                raise _misfit(operator, str(error)) from error
        case p.Transpose():
            if len(operator.perm) != len(x):
                raise _misfit(operator, f"permutation {list(operator.perm)} does not fit {list(x)}")
            return tuple(x[axis] for axis in operator.perm)
    return x


def _conv(operator: p.Conv, shapes: Mapping[str, Shape]) -> Shape:
    x = shapes[operator.x]
    outputs, inputs, *kernel = operator.terms[0].shape
    if len(x) != 4 or x[1] != inputs * operator.groups:
        raise _misfit(
            operator,
            f"input {list(x)} does not have {inputs * operator.groups} channels [B, C, H, W]",
        )
    top, left, bottom, right = operator.pads
    height = output_size(x[2], kernel[0], operator.strides[0], top, bottom, operator.dilations[0])
    width = output_size(x[3], kernel[1], operator.strides[1], left, right, operator.dilations[1])
    out = (x[0], outputs, _size(operator, height, x), _size(operator, width, x))
    return _same(operator, operator.residual, out, shapes)


def _linear(operator: p.Linear, shapes: Mapping[str, Shape]) -> Shape:
    x = shapes[operator.x]
    outputs, inputs = operator.terms[0].shape
    if len(x) < 2 or x[-1] != inputs:
        raise _misfit(operator, f"input {list(x)} does not end in {inputs} features")
    return _same(operator, operator.residual, (*x[:-1], outputs), shapes)


def _same(
    operator: p.Conv | p.Linear, residual: str | None, out: Shape, shapes: Mapping[str, Shape]
) -> Shape:
    if residual is not None and shapes[residual] != out:
        raise _misfit(
            operator, f"residual {list(shapes[residual])} is not of the result's shape {list(out)}"
        )
    return out


def _pool(operator: p.MaxPool | p.AveragePool, x: Shape) -> Shape:
    if len(x) != 4:
        raise _misfit(operator, f"input {list(x)} is not [B, C, H, W]")
    if operator.kernel is None:
        _size(operator, min(x[2:]), x)
        return (x[0], x[1], 1, 1)
    dilations = operator.dilations if isinstance(operator, p.MaxPool) else (1, 1)
    kernel, strides, (top, left, bottom, right) = operator.kernel, operator.strides, operator.pads
    ceil = operator.ceil_mode
    height = output_size(x[2], kernel[0], strides[0], top, bottom, dilations[0], ceil)
    width = output_size(x[3], kernel[1], strides[1], left, right, dilations[1], ceil)
    return (x[0], x[1], _size(operator, height, x), _size(operator, width, x))


def _concat(operator: p.Concat, shapes: Mapping[str, Shape]) -> Shape:
    parts = [shapes[name] for name in operator.xs]
    axis, rank = operator.axis, len(parts[0])
    if not 0 <= axis < rank:
        raise _misfit(operator, f"axis {axis} is outside of {list(parts[0])}")
    for part in parts:
        if (
            len(part) != rank
            or part[:axis] + part[axis + 1 :] != parts[0][:axis] + parts[0][axis + 1 :]
        ):
            raise _misfit(
                operator, f"{list(part)} and {list(parts[0])} do not join along axis {axis}"
            )
    return (*parts[0][:axis], sum(part[axis] for part in parts), *parts[0][axis + 1 :])


def _slice(operator: p.Slice, x: Shape) -> Shape:
    sizes = list(x)
    parts = zip(operator.starts, operator.ends, operator.axes, operator.steps, strict=True)
    for start, end, axis, step in parts:
        if not 0 <= axis < len(x):
            raise _misfit(operator, f"axis {axis} is outside of {list(x)}")
        sizes[axis] = len(range(*slice(start, end, step).indices(x[axis])))
    return tuple(sizes)


def _pad(operator: p.Pad, x: Shape) -> Shape:
    if len(operator.pads) != 2 * len(x):
        raise _misfit(operator, f"pads {list(operator.pads)} do not fit {list(x)}")
    begins, ends = operator.pads[: len(x)], operator.pads[len(x) :]
    sizes = [size + begin + end for size, begin, end in zip(x, begins, ends, strict=True)]
    if min(sizes, default=0) < 0:
        raise _misfit(operator, f"input {list(x)} is too small")
    return tuple(sizes)


def _size(operator: p.Operator, size: int, x: Shape) -> int:
    if size < 1:
        raise _misfit(operator, f"input {list(x)} is too small")
    return size


def _misfit(operator: p.Operator, why: str) -> InputError:
    return InputError(f"node {operator.name!r}: {why}; check the shape of the model's input")
