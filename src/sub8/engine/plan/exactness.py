"""Whether a float program, which rounds every sum to 24 bits, gives a plan's sums exactly.

Every partial sum of ``sum(w * x) + bias + residual``, in any order, is a multiple of the finest unit of its
operands and at most ``sum(|w| * |x|) + |bias| + |residual|``. Where that stays below 2**24 units, float32
holds each of them. The size of the result alone says nothing: large products may cancel.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan import operators as p
from sub8.engine.plan.reference import Environment, Tensor
from sub8.numerics import operators
from sub8.numerics.accumulators import aligned_integers, finest_exponent
from sub8.numerics.dfp import Format
from sub8.numerics.dynamic import per_image
from sub8.numerics.rounding import Int64Array

FLOAT_BITS = 24
LOWEST_UNIT = -149  # float32's finest number
HIGHEST_EXPONENT = 127
EXACT_DIVISOR = 2**16  # of means, see docs/engine.md

Formats = Mapping[str, Format | None]


def float32_is_exact(plan: p.Plan, tensors: Environment) -> bool:
    """Whether float32 gives every operator's result to the bit.

    tensors: of one run (``reference.run_tensors``). False where a scale is no power of two, too.
    """
    return all(_is_exact(operator, tensors, plan.formats) for operator in plan.operators)


def _is_exact(operator: p.Operator, tensors: Environment, formats: Formats) -> bool:
    match operator:
        case p.Conv() | p.Linear():
            return _layer_is_exact(operator, tensors, formats)
        case p.Add():
            parts = [_element(name, tensors, formats) for name in (operator.a, operator.b)]
            return _sum_is_exact([part for part in parts if part is not None]) and None not in parts
        case p.Mul():
            return _powers((operator.a, operator.b, operator.out), formats)
        case p.Requantize():
            return _powers((operator.x, operator.out), formats)
        case p.AveragePool():
            return _mean_is_exact(operator, tensors, formats)
    return True  # lookups, movement, and single roundings that float programs do alike


# Magnitudes that broadcast against the result, and the exponent of their unit, per image or one.
_Part = tuple[Int64Array, Int64Array]


def _layer_is_exact(operator: p.Conv | p.Linear, tensors: Environment, formats: Formats) -> bool:
    exponents = _exponents(operator.x, tensors, formats)
    out = formats[operator.out]
    if exponents is None or any(term.channel_scale is not None for term in operator.terms):
        return False
    if out is not None and not out.is_power:
        return False
    weight = np.abs(np.sum(aligned_integers(operator.terms), axis=0))
    zeros = _trailing_zeros(weight)
    weight, unit = weight >> zeros, exponents + finest_exponent(operator.terms) + zeros
    x = np.abs(tensors[operator.x].values.astype(np.int64))
    residual = None
    if operator.residual is not None:
        residual = _element(operator.residual, tensors, formats)
        if residual is None:
            return False
    bias = np.abs(operator.bias.astype(np.int64))
    bias_zeros = _trailing_zeros(bias)
    own = operator.bias_exponent
    bias_unit = exponents + finest_exponent(operator.terms) if own is None else np.array([own])

    def parts(sums: Int64Array, axis: int) -> list[_Part]:
        found: list[_Part] = [(sums, unit)]
        if bias.any():
            shaped = operators.per_channel(bias >> bias_zeros, sums.ndim, axis)
            found.append((shaped, bias_unit + bias_zeros))
        return found if residual is None else [*found, residual]

    # The largest input times all weights first: where that suffices, nothing need be summed.
    channels = weight.reshape(len(weight), -1).sum(axis=1)
    rank = tensors[operator.out].values.ndim
    axis = 1 if isinstance(operator, p.Conv) else rank - 1
    highest = operators.per_channel(channels * int(x.max(initial=0)), rank, axis)
    if _sum_is_exact(parts(highest, axis)):
        return True
    if isinstance(operator, p.Linear):
        return _sum_is_exact(parts(operators.linear(x, weight), axis))
    sums = operators.convolve(
        x,
        weight,
        strides=operator.strides,
        pads=operator.pads,
        dilations=operator.dilations,
        groups=operator.groups,
    )
    return _sum_is_exact(parts(sums, axis))


def _sum_is_exact(parts: list[_Part]) -> bool:
    """Whether the magnitudes' sum stays below 2**24 of the finest unit, and in float32's range."""
    counted = [(values, unit) for values, unit in parts if values.any()]
    if not counted:
        return True
    finest = counted[0][1]
    for _, unit in counted[1:]:
        finest = np.minimum(finest, unit)
    rank = max(values.ndim for values, _ in counted)
    total: NDArray[np.float64] = np.zeros((1,) * rank)
    for values, unit in counted:
        total = total + np.ldexp(values.astype(np.float64), per_image(unit - finest, rank))
    bits = np.frexp(total.max())[1]
    in_range = finest.min() >= LOWEST_UNIT and finest.max() + bits <= HIGHEST_EXPONENT
    return bool(total.max() < 2.0**FLOAT_BITS and in_range)


def _mean_is_exact(operator: p.AveragePool, tensors: Environment, formats: Formats) -> bool:
    source = _exponents(operator.x, tensors, formats)
    result = _exponents(operator.out, tensors, formats)
    if source is None or result is None:
        return False
    x = tensors[operator.x].values
    window = x.shape[2:] if operator.kernel is None else operator.kernel
    filled = x.reshape(len(x), -1).any(axis=1)
    finer = int(np.where(filled, result - source, 0).max(initial=0))
    return int(np.prod(window)) << min(finer, 32) <= EXACT_DIVISOR


def _element(name: str, tensors: Environment, formats: Formats) -> _Part | None:
    """An 8-bit operand of a sum; None where its scale is no power of two."""
    exponents = _exponents(name, tensors, formats)
    return None if exponents is None else (np.abs(tensors[name].values.astype(np.int64)), exponents)


def _exponents(name: str, tensors: Environment, formats: Formats) -> Int64Array | None:
    """The exponent of an 8-bit tensor, one or per image; None where its scale is no power of two."""
    tensor: Tensor = tensors[name]
    fmt = formats[name]
    if tensor.exponents is not None:
        return tensor.exponents
    if fmt is None or not fmt.is_power or fmt.exponent is None:
        return None
    return np.array([fmt.exponent], np.int64)


def _powers(names: tuple[str, ...], formats: Formats) -> bool:
    return all((fmt := formats[name]) is not None and fmt.is_power for name in names)


def _trailing_zeros(values: Int64Array) -> int:
    """The largest k for which 2**k divides every value; 0 where all are zero."""
    merged = int(np.bitwise_or.reduce(values, axis=None))
    return (merged & -merged).bit_length() - 1 if merged else 0
