"""Run a plan in NumPy. This is what a plan means: the native core gives the same integers and the same floats."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan import operators as p
from sub8.engine.plan.islands import run_island
from sub8.engine.plan.requantize import (
    DynamicRescale,
    dynamic_rescale,
    float_rescale,
    is_dynamic,
    operands,
    rescale,
)
from sub8.engine.plan.shapes import Shape, operator_shape
from sub8.errors import InputError
from sub8.numerics import dynamic, operators
from sub8.numerics.accumulators import aligned_integers
from sub8.numerics.dfp import Format, dequantize, quantize
from sub8.numerics.rounding import Int64Array


@dataclass(frozen=True)
class Tensor:
    """Elements (8-bit or float32) and, where the format is dynamic, the exponents, int64 ``[B]``."""

    values: NDArray[Any]
    exponents: Int64Array | None = None


Environment = dict[str, Tensor]
Formats = Mapping[str, Format | None]


def run_reference(
    plan: p.Plan, inputs: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[Any]]:
    """The outputs by name. Raises InputError for missing inputs and shapes that do not fit."""
    tensors = run_tensors(plan, inputs)
    return {name: tensors[name].values for name in plan.outputs}


def run_tensors(plan: p.Plan, inputs: Mapping[str, NDArray[np.float32]]) -> Environment:
    """Every tensor of the plan, by name."""
    tensors: Environment = {}
    for name in plan.inputs:
        if name not in inputs:
            raise InputError(
                f"input {name!r} is missing; the model's inputs: {', '.join(plan.inputs)}"
            )
        tensors[name] = Tensor(np.asarray(inputs[name], np.float32))
    shapes = {name: tensor.values.shape for name, tensor in tensors.items()}
    for operator in plan.operators:
        if isinstance(operator, p.Island):
            results = run_island(operator, {name: tensors[name].values for name in operator.inputs})
            tensors.update({name: Tensor(value) for name, value in results.items()})
            shapes.update(
                (name, value.shape)
                for name, value in results.items()
                if isinstance(value, np.ndarray)
            )
            continue
        shape = shapes[operator.out] = operator_shape(operator, shapes)
        if 0 in shape:
            tensors[operator.out] = _empty(shape, plan.formats[operator.out])
        else:
            tensors[operator.out] = _run(operator, tensors, plan.formats)
    return tensors


def _empty(shape: Shape, fmt: Format | None) -> Tensor:
    """A tensor without elements; its exponents say nothing."""
    if fmt is None or not fmt.dynamic:
        return Tensor(np.zeros(shape, np.float32 if fmt is None else fmt.dtype))
    exponents = np.full(shape[0], dynamic.LOWEST_EXPONENT, np.int64)
    return Tensor(np.zeros(shape, fmt.dtype), exponents)


@singledispatch
def _run(operator: p.Operator, tensors: Environment, formats: Formats) -> Tensor:
    raise TypeError(f"no reference for {type(operator).__name__}")


@_run.register
def _quantize(operator: p.Quantize, tensors: Environment, formats: Formats) -> Tensor:
    fmt = _format(formats, operator.out)
    values = tensors[operator.x].values
    if fmt.dynamic:
        integers, exponents = dynamic.quantize_dynamic(values, fmt.signed)
        return Tensor(integers.astype(fmt.dtype), exponents)
    return Tensor(quantize(values, fmt))


@_run.register
def _dequantize(operator: p.Dequantize, tensors: Environment, formats: Formats) -> Tensor:
    fmt, x = _format(formats, operator.x), tensors[operator.x]
    if x.exponents is not None:
        scale = np.ldexp(np.float32(1), dynamic.per_image(x.exponents, x.values.ndim)).astype(
            np.float32
        )
        return Tensor(x.values.astype(np.float32) * scale)
    return Tensor(dequantize(x.values, fmt))


@_run.register
def _conv(operator: p.Conv, tensors: Environment, formats: Formats) -> Tensor:
    weight = np.sum(aligned_integers(operator.terms), axis=0)
    accumulator = operators.convolve(
        _centred(operator.x, tensors, formats),
        weight,
        strides=operator.strides,
        pads=operator.pads,
        dilations=operator.dilations,
        groups=operator.groups,
    )
    return _finish_layer(operator, accumulator, 1, tensors, formats)


@_run.register
def _linear(operator: p.Linear, tensors: Environment, formats: Formats) -> Tensor:
    weight = np.sum(aligned_integers(operator.terms), axis=0)
    accumulator = operators.linear(_centred(operator.x, tensors, formats), weight)
    return _finish_layer(operator, accumulator, accumulator.ndim - 1, tensors, formats)


@_run.register
def _add(operator: p.Add, tensors: Environment, formats: Formats) -> Tensor:
    a = tensors[operator.a].values.astype(np.int64)
    b = tensors[operator.b].values.astype(np.int64)
    if is_dynamic(operator, formats):
        rank = max(a.ndim, b.ndim)
        a = a.reshape((1,) * (rank - a.ndim) + a.shape)
        b = b.reshape((1,) * (rank - b.ndim) + b.shape)
        return _finish_dynamic(operator, a, b, rank - 1, tensors, formats)
    integers = rescale(operator, formats)
    total = a * integers.multiplier[0] + b * integers.residual_multiplier + integers.offset[0]
    return _requantized(operator, total, integers.shift, formats)


@_run.register
def _mul(operator: p.Mul, tensors: Environment, formats: Formats) -> Tensor:
    a, b = _centred(operator.a, tensors, formats), _centred(operator.b, tensors, formats)
    integers = rescale(operator, formats)
    return _requantized(operator, a * b * integers.multiplier[0], integers.shift, formats)


@_run.register
def _requantize(operator: p.Requantize, tensors: Environment, formats: Formats) -> Tensor:
    x = tensors[operator.x].values.astype(np.int64)
    if is_dynamic(operator, formats):
        return _finish_dynamic(operator, x, None, x.ndim - 1, tensors, formats)
    integers = rescale(operator, formats)
    total = x * integers.multiplier[0] + integers.offset[0]
    return _requantized(operator, total, integers.shift, formats)


@_run.register
def _table(operator: p.Table, tensors: Environment, formats: Formats) -> Tensor:
    return Tensor(operators.look_up(tensors[operator.x].values, operator.table))


@_run.register
def _max_pool(operator: p.MaxPool, tensors: Environment, formats: Formats) -> Tensor:
    x = tensors[operator.x]
    values = operators.max_pool(
        x.values,
        operator.kernel,
        operator.strides,
        operator.pads,
        operator.dilations,
        operator.ceil_mode,
    )
    return Tensor(values, x.exponents)


@_run.register
def _average_pool(operator: p.AveragePool, tensors: Environment, formats: Formats) -> Tensor:
    x = _centred(operator.x, tensors, formats)
    if operator.kernel is None:
        sums = x.sum(axis=(2, 3), keepdims=True)
        divisor = np.array([[x.shape[2] * x.shape[3]]], np.int64)
    else:
        sums, divisor = operators.sum_pool(
            x,
            operator.kernel,
            operator.strides,
            operator.pads,
            operator.ceil_mode,
            operator.count_include_pad,
        )
        divisor = np.maximum(divisor, 1)
    fmt = _format(formats, operator.out)
    if not is_dynamic(operator, formats):
        integers = rescale(operator, formats)
        return Tensor(
            operators.mean(
                sums * integers.multiplier[0],
                divisor << integers.shift,
                fmt,
                operator.low,
                operator.high,
            )
        )
    constants = dynamic_rescale(operator, formats)
    x_exponents = _exponents(constants.x_exponent, tensors[operator.x])
    chosen: Int64Array | int | None = constants.out_exponent
    if chosen is None:
        chosen = dynamic.largest_mean_exponent(sums, divisor, x_exponents, fmt.signed)
    shift = np.asarray(chosen - x_exponents, np.int64)
    values = dynamic.mean_to_exponent(sums, divisor, shift, operator.low, operator.high)
    return Tensor(values.astype(fmt.dtype), _of_batch(chosen, values) if fmt.dynamic else None)


@_run.register
def _concat(operator: p.Concat, tensors: Environment, formats: Formats) -> Tensor:
    return Tensor(
        np.concatenate([tensors[name].values for name in operator.xs], axis=operator.axis)
    )


@_run.register
def _slice(operator: p.Slice, tensors: Environment, formats: Formats) -> Tensor:
    x = tensors[operator.x]
    values = operators.cut(x.values, operator.starts, operator.ends, operator.axes, operator.steps)
    return Tensor(values, x.exponents)


@_run.register
def _pad(operator: p.Pad, tensors: Environment, formats: Formats) -> Tensor:
    x = tensors[operator.x]
    return Tensor(operators.pad(x.values, operator.pads, operator.value), x.exponents)


@_run.register
def _reshape(operator: p.Reshape, tensors: Environment, formats: Formats) -> Tensor:
    x = tensors[operator.x]
    target = operators.reshape_target(x.values.shape, operator.shape)
    return Tensor(x.values.reshape(target), x.exponents)


@_run.register
def _transpose(operator: p.Transpose, tensors: Environment, formats: Formats) -> Tensor:
    x = tensors[operator.x]
    return Tensor(x.values.transpose(operator.perm), x.exponents)


@_run.register
def _constant(operator: p.Constant, tensors: Environment, formats: Formats) -> Tensor:
    return Tensor(operator.value)


def _finish_layer(
    operator: p.Conv | p.Linear,
    accumulator: Int64Array,
    axis: int,
    tensors: Environment,
    formats: Formats,
) -> Tensor:
    rank = accumulator.ndim

    def channels(values: NDArray) -> NDArray:
        return operators.per_channel(values, rank, axis)

    residual = tensors[operator.residual].values.astype(np.int64) if operator.residual else None
    if is_dynamic(operator, formats):
        return _finish_dynamic(operator, accumulator, residual, axis, tensors, formats)
    if formats[operator.out] is None:
        floats = float_rescale(operator, formats)
        total = accumulator * floats.multiplier + channels(floats.offset)
        return Tensor(total.astype(np.float32) * channels(floats.scale))
    integers = rescale(operator, formats)
    total = accumulator * channels(integers.multiplier) + channels(integers.offset)
    if residual is not None:
        total = total + residual * integers.residual_multiplier
    return _requantized(operator, total, integers.shift, formats)


def _finish_dynamic(
    operator: p.Conv | p.Linear | p.Add | p.Requantize,
    accumulator: Int64Array,
    residual: Int64Array | None,
    axis: int,
    tensors: Environment,
    formats: Formats,
) -> Tensor:
    constants: DynamicRescale = dynamic_rescale(operator, formats)
    first, second = operands(operator)
    x_exponents = _exponents(constants.x_exponent, tensors[first])
    parts: list[dynamic.Operand] = [(accumulator, x_exponents + constants.exponent)]
    if constants.bias is not None:
        parts.append(
            (operators.per_channel(constants.bias, accumulator.ndim, axis), constants.bias_exponent)
        )
    if residual is not None and second is not None:
        parts.append((residual, _exponents(constants.residual_exponent, tensors[second])))
    total, unit = dynamic.aligned_sum(parts, constants.minimum, constants.maximum)
    if constants.out_float:
        scale = np.ldexp(1.0, dynamic.per_image(unit, total.ndim)).astype(np.float32)
        return Tensor(total.astype(np.float32) * scale)
    fmt = _format(formats, operator.out)
    chosen: Int64Array | int | None = constants.out_exponent
    if chosen is None:
        chosen = dynamic.largest_exponent(total, unit, fmt.signed)
    values = dynamic.round_to_exponent(total, unit, chosen, constants.low, constants.high)
    return Tensor(values.astype(fmt.dtype), _of_batch(chosen, values) if fmt.dynamic else None)


def _requantized(operator: p.Rounded, total: Int64Array, shift: int, formats: Formats) -> Tensor:
    fmt = _format(formats, operator.out)
    return Tensor(operators.requantize(total, shift, fmt, operator.low, operator.high))


def _centred(name: str, tensors: Environment, formats: Formats) -> Int64Array:
    """A tensor's integers less its zero point."""
    return tensors[name].values.astype(np.int64) - _format(formats, name).zero_point


def _exponents(static: int | None, tensor: Tensor) -> Int64Array:
    if static is not None:
        return np.array(static, np.int64)
    assert tensor.exponents is not None
    return tensor.exponents


def _of_batch(exponents: Int64Array | int, values: NDArray) -> Int64Array:
    return np.broadcast_to(np.asarray(exponents, np.int64), (len(values),)).copy()


def _format(formats: Formats, name: str) -> Format:
    fmt = formats[name]
    assert fmt is not None
    return fmt
