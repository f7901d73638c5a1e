"""From formats to integers: how an accumulator becomes an 8-bit result with one rounding.

Static formats, one ``Rescale`` per operator, all in int64:

    result = clamp(round_half_even((acc*multiplier[o] + residual*residual_multiplier + offset[o]) / 2**shift)
                   + zero_point, low, high)

| operator | acc | residual |
|---|---|---|
| Conv, Linear | sum of weight * (x - x.zero_point), without bias | the residual's raw integers |
| Add | a's raw integers | b's raw integers |
| Mul | (a - a.zero_point) * (b - b.zero_point) | - |
| Requantize | x's raw integers | - |
| AveragePool | sum over the window of (x - x.zero_point); the divisor is count * 2**shift | - |

``offset`` holds the bias and the zero points of raw integers. Scales that are powers of two give exact
powers of two; other scales (foreign int8 files) give multipliers of at most 31 bits.

Dynamic formats (any operand or the result): ``DynamicRescale`` holds the constants, and
``numerics.operators.dynamic_sum`` and ``dynamic_round`` the arithmetic per image.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.operators import (
    Add,
    AveragePool,
    Conv,
    Linear,
    Mul,
    Operator,
    Requantize,
    Rounded,
)
from sub8.errors import UnsupportedModelError
from sub8.numerics.accumulators import LARGEST_ACTIVATION, accumulator_bound, finest_exponent
from sub8.numerics.dfp import Format

Formats = Mapping[str, Format | None]

LARGEST_MULTIPLIER = 2**31 - 1
LARGEST_SUM = 2**62 - 1
LARGEST_SHIFT = 62
LARGEST_POOL_SHIFT = 40  # leaves 22 bits for a window's positions


@dataclass(frozen=True, eq=False)
class Rescale:
    """The integers of one operator. multiplier, offset: int64 ``[O]``, or ``[1]`` where all channels agree."""

    multiplier: NDArray[np.int64]
    residual_multiplier: int
    offset: NDArray[np.int64]
    shift: int
    zero_point: int
    low: int
    high: int


@dataclass(frozen=True, eq=False)
class FloatRescale:
    """A layer with float32 output: ``float32(acc*multiplier + offset[o]) * scale[o]``.

    multiplier: a power of two. offset: int64 ``[O]``, the bias in the same unit. scale: float32 ``[O]`` or ``[1]``.
    """

    multiplier: int
    offset: NDArray[np.int64]
    scale: NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DynamicRescale:
    """The constants of one operator whose operands or result have an exponent per image.

    sum = acc * 2**(e_acc + exponent) + bias * 2**bias_exponent + residual * 2**e_residual, with e_acc and
    e_residual the exponents of the tensors: the static one, or per image where that is None.

    exponent: what the weights add to the input's exponent (0 for element-wise operators).
    bias: int64 ``[O]``, None where there is none. minimum, maximum: real bounds of the sum, each as
    (mantissa, exponent), None where there is none. out_exponent: the static result's; None: dynamic, or
    float32 where ``out_float``. low, high: clamp of the rounded result.
    """

    x_exponent: int | None
    exponent: int
    bias: NDArray[np.int64] | None
    bias_exponent: int
    has_residual: bool
    residual_exponent: int | None
    minimum: tuple[int, int] | None
    maximum: tuple[int, int] | None
    out_exponent: int | None
    out_float: bool
    signed: bool
    low: int
    high: int


def operands(operator: Operator) -> tuple[str, str | None]:
    """Names of the tensors that play ``acc`` (or its input) and ``residual``."""
    if isinstance(operator, (Conv, Linear)):
        return operator.x, operator.residual
    if isinstance(operator, (Add, Mul)):
        return operator.a, operator.b
    if isinstance(operator, (Requantize, AveragePool)):
        return operator.x, None
    raise TypeError(f"{type(operator).__name__} is not rescaled")


def is_dynamic(operator: Rounded, formats: Formats) -> bool:
    """Whether an operand or the result has an exponent per image."""
    names = (*operands(operator), operator.out)
    return any(fmt.dynamic for name in names if name and (fmt := formats[name]) is not None)


def rescale(operator: Rounded, formats: Formats) -> Rescale:
    """The integers of an operator with static 8-bit operands and result.

    Raises UnsupportedModelError, naming the operator, where they do not fit 64-bit arithmetic.
    """
    first, second = operands(operator)
    x, out = _static(formats[first]), _static(formats[operator.out])
    other = _static(formats[second]) if second else None
    raw = not isinstance(operator, (Conv, Linear, Mul, AveragePool))
    largest_shift = LARGEST_POOL_SHIFT if isinstance(operator, AveragePool) else LARGEST_SHIFT

    unit = _accumulator_unit(operator, x, other)
    ratios = [value / _scale(out) for value in unit]
    bias, bias_ratios = _bias(operator, ratios, out)
    residual_ratio = Fraction(0)
    if other is not None and not isinstance(operator, Mul):
        residual_ratio = _scale(other) / _scale(out)
    if isinstance(operator, (Conv, Linear)):
        bound = [int(value) for value in accumulator_bound(operator.terms)]
    else:
        bound = [LARGEST_ACTIVATION**2 if isinstance(operator, Mul) else LARGEST_ACTIVATION]

    def integers(shift: int) -> tuple[list[int], int, list[int]]:
        multipliers = [round(ratio * 2**shift) for ratio in ratios]
        multiplier_r = round(residual_ratio * 2**shift)
        units = _repeat([_plain(ratio * 2**shift) for ratio in bias_ratios], len(bias))
        offsets = [round(b * unit) for b, unit in zip(bias, units, strict=True)]
        zeros = x.zero_point if raw else 0
        fixed = other.zero_point * multiplier_r if other is not None and residual_ratio else 0
        return (
            multipliers,
            multiplier_r,
            [
                offset - zeros * multiplier - fixed
                for offset, multiplier in zip(
                    offsets, _repeat(multipliers, len(offsets)), strict=True
                )
            ],
        )

    def fits(shift: int) -> bool:
        multipliers, multiplier_r, offsets = integers(shift)
        count = len(offsets)
        largest = max(
            b * m + LARGEST_ACTIVATION * multiplier_r + abs(c)
            for b, m, c in zip(
                _repeat(bound, count), _repeat(multipliers, count), offsets, strict=True
            )
        )
        exact_powers = powers and max(multipliers, default=0) < LARGEST_SUM
        small = max(multiplier_r, *multipliers) <= LARGEST_MULTIPLIER
        return largest <= LARGEST_SUM and (small or exact_powers)

    powers = all(
        _exponent(ratio) is not None for ratio in (*ratios, residual_ratio, *bias_ratios) if ratio
    )
    if powers:
        found = (_exponent(ratio) for ratio in (*ratios, residual_ratio, *bias_ratios) if ratio)
        exponents = [exponent for exponent in found if exponent is not None]
        shift = max(0, -min(exponents))
        if shift > largest_shift and max(exponents) < -LARGEST_SHIFT:
            shift = (
                largest_shift  # every product is below half of a unit: all multipliers round to 0
            )
        if shift > largest_shift or not fits(shift):
            raise _too_wide(operator.name)
    else:
        largest_ratio = max(*ratios, residual_ratio)
        above = largest_ratio.numerator.bit_length() - largest_ratio.denominator.bit_length()
        shift = max(0, min(largest_shift, 33 - above))
        while shift > 0 and not fits(shift):
            shift -= 1
        if not fits(shift):
            raise _too_wide(operator.name)
    multipliers, multiplier_r, offsets = integers(shift)
    return Rescale(
        np.array(multipliers, np.int64),
        multiplier_r,
        np.array(offsets, np.int64),
        shift,
        out.zero_point,
        operator.low,
        operator.high,
    )


def float_rescale(operator: Conv | Linear, formats: Formats) -> FloatRescale:
    """The integers of a layer with a static 8-bit input and a float32 output. Raises UnsupportedModelError."""
    x = _static(formats[operator.x])
    exponent = x.exponent
    bias = operator.bias.astype(np.int64)
    if operator.terms[0].channel_scale is not None or exponent is None:
        weight_scale = math.ldexp(1.0, finest_exponent(operator.terms))
        scale = np.array([float(_scale(x)) * weight_scale], np.float64)
        if operator.terms[0].channel_scale is not None:
            scale = scale * operator.terms[0].channel_scale.astype(np.float64)
        return FloatRescale(1, bias, scale.astype(np.float32))
    exponent += finest_exponent(operator.terms)
    finest = exponent
    if operator.bias_exponent is not None and bias.any():
        finest = min(exponent, operator.bias_exponent)
        if max(exponent, operator.bias_exponent) - finest > 30:
            raise _too_wide(operator.name)
        bias = bias << (operator.bias_exponent - finest)
    return FloatRescale(
        1 << (exponent - finest),
        bias,
        np.array([math.ldexp(1.0, finest)], np.float64).astype(np.float32),
    )


def dynamic_rescale(
    operator: Conv | Linear | Add | Requantize | AveragePool, formats: Formats
) -> DynamicRescale:
    """The constants of an operator with a dynamic operand or result.

    Raises UnsupportedModelError, naming the operator, where a static operand's scale is no power of two.
    """
    first, second = operands(operator)
    out = formats[operator.out]
    x_exponent = _power_or_dynamic(operator.name, formats[first])
    weights, bias, bias_exponent = 0, None, 0
    if isinstance(operator, (Conv, Linear)):
        weights = finest_exponent(operator.terms)
        if any(term.channel_scale is not None for term in operator.terms):
            raise UnsupportedModelError(
                f"layer {operator.name!r}: a dynamic exponent needs weights in powers of two; quantise it with sub8"
            )
        if operator.bias.any():
            bias = operator.bias.astype(np.int64)
            if operator.bias_exponent is not None:
                bias_exponent = operator.bias_exponent
            elif x_exponent is not None:
                bias_exponent = x_exponent + weights
            else:
                raise UnsupportedModelError(
                    f"layer {operator.name!r}: the bias of a dynamic layer needs its own exponent"
                )
    return DynamicRescale(
        x_exponent=x_exponent,
        exponent=weights,
        bias=bias,
        bias_exponent=bias_exponent,
        has_residual=second is not None,
        residual_exponent=_power_or_dynamic(operator.name, formats[second]) if second else None,
        minimum=_mantissa(operator.minimum),
        maximum=_mantissa(operator.maximum),
        out_exponent=None if out is None else _power_or_dynamic(operator.name, out),
        out_float=out is None,
        signed=out is not None and out.signed,
        low=operator.low,
        high=operator.high,
    )


def _static(fmt: Format | None) -> Format:
    assert fmt is not None and fmt.scale is not None, "a static 8-bit tensor is expected"
    return fmt


def _scale(fmt: Format) -> Fraction:
    assert fmt.scale is not None
    return Fraction(fmt.scale)


def _accumulator_unit(operator: Rounded, x: Format, other: Format | None) -> list[Fraction]:
    """The real value of one unit of ``acc``, per channel or once."""
    unit = _scale(x)
    if isinstance(operator, Mul):
        assert other is not None
        return [unit * _scale(other)]
    if not isinstance(operator, (Conv, Linear)):
        return [unit]
    unit *= Fraction(2) ** finest_exponent(operator.terms)
    scales = operator.terms[0].channel_scale
    return [unit] if scales is None else [unit * Fraction(float(scale)) for scale in scales]


def _bias(
    operator: Rounded, ratios: list[Fraction], out: Format
) -> tuple[list[int], list[Fraction]]:
    """Integers of the bias, and one unit of it in units of the result, per channel or once."""
    if not isinstance(operator, (Conv, Linear)):
        return [0], [Fraction(0)]
    bias = [int(value) for value in operator.bias]
    if not any(bias):
        return bias, [Fraction(0)]
    if operator.bias_exponent is not None:
        ratios = [Fraction(2) ** operator.bias_exponent / _scale(out)]
    return bias, ratios


def _repeat(values: list, count: int) -> list:
    return values * count if len(values) == 1 else values


def _plain(value: Fraction) -> Fraction | int:
    """A whole number as an int, whose arithmetic is some fifty times as fast."""
    return value.numerator if value.denominator == 1 else value


def _exponent(ratio: Fraction) -> int | None:
    """e where ``ratio == 2**e``, else None."""
    up, down = ratio.numerator, ratio.denominator
    if up <= 0 or up & (up - 1) or down & (down - 1):
        return None
    return up.bit_length() - down.bit_length()


def _power_or_dynamic(name: str, fmt: Format | None) -> int | None:
    assert fmt is not None
    if fmt.dynamic:
        return None
    if fmt.exponent is None or fmt.zero_point != 0:
        raise UnsupportedModelError(
            f"node {name!r}: dynamic exponents go with power-of-two scales and zero point 0 only; "
            f"scale {fmt.scale}, zero point {fmt.zero_point}"
        )
    return fmt.exponent


def _mantissa(bound: float) -> tuple[int, int] | None:
    """A finite float32 bound as (mantissa, exponent) with an odd or zero mantissa."""
    if math.isinf(bound):
        return None
    if bound == 0.0:
        return 0, 0
    numerator, denominator = bound.as_integer_ratio()
    zeros = (numerator & -numerator).bit_length() - 1
    return numerator >> zeros, zeros - (denominator.bit_length() - 1)


def _too_wide(name: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"node {name!r}: the scales of its operands and its result lie too far apart for 64-bit sums; "
        "quantise the model again with closer scales"
    )
