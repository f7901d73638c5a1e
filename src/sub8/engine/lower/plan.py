"""From a plan to native programs for one set of input shapes."""

from collections.abc import Mapping, Sequence
from functools import singledispatch

import numpy as np

from sub8.engine.lower import dynamic, elements, moves
from sub8.engine.lower.layers import lower_layer
from sub8.engine.lower.packing import PackedLayers
from sub8.engine.lower.placing import Lowering
from sub8.engine.lower.segment import NativeSegment
from sub8.engine.plan import operators as p
from sub8.engine.plan.batch import batch_parts
from sub8.engine.plan.requantize import is_dynamic
from sub8.engine.plan.shapes import Shape, infer_shapes
from sub8.errors import InputError

Segment = NativeSegment | p.Island
NativeOperator = (
    p.Quantize | p.Dequantize | p.Conv | p.Linear | p.Add | p.Mul | p.Requantize | p.Table | p.MaxPool
    | p.AveragePool | p.Concat | p.Slice | p.Pad | p.Reshape | p.Transpose | p.Constant
)  # fmt: skip


def lower(
    plan: p.Plan,
    input_shapes: Mapping[str, Shape],
    packed: PackedLayers,
    threads: int = 1,
) -> list[Segment]:
    """The segments of a plan in order: native programs, and between them the float islands.

    Run them one after the other over a dictionary of arrays that starts with the inputs (float32,
    C-contiguous): a native segment's ``run`` and an island's results each add arrays to it.

    Raises InputError where the shapes do not fit the model, UnsupportedModelError where an operator
    cannot be run at all.
    """
    shapes = infer_shapes(plan, input_shapes)
    for name, shape in shapes.items():
        if 0 in shape:
            raise InputError(
                f"tensor {name!r} of shape {list(shape)} is empty; pass at least one image"
            )
    parts = batch_parts(plan, shapes, threads)
    if parts > 1:
        part = {name: (shape[0] // parts, *shape[1:]) for name, shape in input_shapes.items()}
        shapes = infer_shapes(plan, part)
    constants = {op.out: op for op in plan.operators if isinstance(op, p.Constant)}
    runs = _runs(plan)
    images: dict[str, int] = {}  # of dynamic tensors made by earlier segments
    segments: list[Segment] = []
    for index, run in enumerate(runs):
        if isinstance(run, p.Island):
            segments.append(run)
            continue
        to = Lowering(plan.formats, shapes, constants, images, packed)
        for operator in run:
            _lower(operator, to)
        later = _read_by(runs[index + 1 :])
        for operator in run:
            _publish(operator.out, plan, later, to)
        images.update({n: x.images for n, x in to.tensors.items() if x.exponents is not None})
        segments.append(to.draft.finish(packed.isa, threads, parts))
    return segments


@singledispatch
def _lower(operator: NativeOperator, to: Lowering) -> None:
    raise TypeError(f"no native steps for {type(operator).__name__}")


@_lower.register
def _(operator: p.Quantize, to: Lowering) -> None:
    if to.format(operator.out).dynamic:
        dynamic.lower_dynamic_quantize(operator, to)
    else:
        elements.lower_quantize(operator, to)


@_lower.register
def _(operator: p.Dequantize, to: Lowering) -> None:
    if to.format(operator.x).dynamic:
        dynamic.lower_dynamic_dequantize(operator, to)
    else:
        elements.lower_dequantize(operator, to)


@_lower.register
def _(operator: p.Conv | p.Linear, to: Lowering) -> None:
    if is_dynamic(operator, to.formats):
        dynamic.lower_dynamic_layer(operator, to)
    else:
        lower_layer(operator, to)


@_lower.register
def _(operator: p.Add, to: Lowering) -> None:
    if is_dynamic(operator, to.formats):
        dynamic.lower_dynamic_add(operator, to)
    else:
        elements.lower_add(operator, to)


@_lower.register
def _(operator: p.Requantize, to: Lowering) -> None:
    if is_dynamic(operator, to.formats):
        dynamic.lower_dynamic_add(operator, to)
    else:
        elements.lower_requantize(operator, to)


@_lower.register
def _(operator: p.AveragePool, to: Lowering) -> None:
    if is_dynamic(operator, to.formats):
        dynamic.lower_dynamic_average_pool(operator, to)
    else:
        elements.lower_average_pool(operator, to)


_lower.register(p.Mul, elements.lower_mul)
_lower.register(p.Table, elements.lower_table)
_lower.register(p.MaxPool, elements.lower_max_pool)
_lower.register(p.Concat, moves.lower_concat)
_lower.register(p.Slice, moves.lower_slice)
_lower.register(p.Pad, moves.lower_pad)
_lower.register(p.Reshape, moves.lower_reshape)
_lower.register(p.Transpose, moves.lower_transpose)


@_lower.register
def _(operator: p.Constant, to: Lowering) -> None:
    """Constants are placed in each segment that reads them."""


def _runs(plan: p.Plan) -> list[list[NativeOperator] | p.Island]:
    """Islands, and the operators between them."""
    runs: list[list[NativeOperator] | p.Island] = []
    for operator in plan.operators:
        if isinstance(operator, p.Island):
            runs.append(operator)
        elif runs and isinstance(runs[-1], list):
            runs[-1].append(operator)
        else:
            runs.append([operator])
    return runs


def _read_by(runs: Sequence[list[NativeOperator] | p.Island]) -> set[str]:
    names: set[str] = set()
    for run in runs:
        if isinstance(run, p.Island):
            names.update(run.inputs)
        else:
            for operator in run:
                names.update(_operands(operator))
    return names


def _operands(operator: NativeOperator) -> tuple[str, ...]:
    match operator:
        case p.Constant():
            return ()
        case p.Add() | p.Mul():
            return (operator.a, operator.b)
        case p.Concat():
            return operator.xs
        case p.Conv() | p.Linear() if operator.residual is not None:
            return (operator.x, operator.residual)
    return (operator.x,)


def _publish(name: str, plan: p.Plan, later: set[str], to: Lowering) -> None:
    """Make a tensor an array where the caller or a later segment reads it."""
    fmt = plan.formats[name]
    if name in plan.outputs:
        to.export(name, np.dtype(np.float32) if fmt is None else fmt.dtype)
    elif name in later and fmt is None:
        to.export(name, np.dtype(np.float32))
    elif name in later and name not in to.constants:
        to.hand_over(name)
