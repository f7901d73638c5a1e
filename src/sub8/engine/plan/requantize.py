"""The integers of a requantisation (``numerics.requantize``) from formats: what a plan leaves
unsaid.

An operator describes its accumulator (``Accumulator``); the result's format, or that there is none,
decides what is made of it:

| result | operands | integers |
|---|---|---|
| 8-bit, static | static | ``To8Bit``, all in int64 |
| float32 | static | ``ToFloat`` |
| any | an exponent per image: of an operand, or the result's | ``DynamicSum`` |
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sub8.errors import UnsupportedModelError
from sub8.numerics.accumulators import LARGEST_ACTIVATION
from sub8.numerics.dfp import Format
from sub8.numerics.requantize import To8Bit, ToFloat

Formats = Mapping[str, Format | None]

LARGEST_MULTIPLIER = 2**31 - 1
LARGEST_SUM = 2**62 - 1
LARGEST_SUM_OF_32_BITS = 2**30 - 1  # with room for rounding
CLOSE_SHIFT = 20  # multipliers are rounded by at most 2**-21, sums of 8-bit operands by 2**-13
LARGEST_SHIFT = 62
_SATURATES = 1024  # steps of the result: more than any range and zero point
LARGEST_POOL_SHIFT = 40  # leaves 22 bits for a window's positions


@dataclass(frozen=True, eq=False)
class Accumulator:
    """What an operator with static operands sums before it rounds.

    operator: its name, for errors. units: the real value of one unit of ``acc``, per channel or
    once.
    bounds: no ``acc`` is larger in magnitude, per channel or once. zero_point: what raw integers in
    ``acc`` still hold. bias: integers, per channel, in units of ``2**bias_exponent``; None: in
    ``units``. residual: the format of the tensor that is added raw, if any. mean: whether what is
    rounded is a mean of ``acc``."""

    operator: str
    units: list[Fraction]
    bounds: list[int] = field(default_factory=lambda: [LARGEST_ACTIVATION])
    zero_point: int = 0
    bias: list[int] = field(default_factory=lambda: [0])
    bias_exponent: int | None = None
    residual: Format | None = None
    mean: bool = False

    @property
    def largest_shift(self) -> int:
        return LARGEST_POOL_SHIFT if self.mean else LARGEST_SHIFT


@dataclass(frozen=True, eq=False)
class DynamicSum:
    """The constants of one operator whose operands or result have an exponent per image.

    sum = acc * 2**(e_acc + exponent) + bias * 2**bias_exponent + residual * 2**e_residual, with
    e_acc and
    e_residual the exponents of the tensors: the static one, or per image where that is None.

    exponent: what the weights add to the input's exponent (0 for element-wise operators).
    bias: int64 ``[O]``, None where there is none. minimum, maximum: real bounds of the sum, each as
    (mantissa, exponent), None where there is none. out_exponent: the static result's; None:
    dynamic, or float32 where ``out_float``. low, high: clamp of the rounded result.
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


def to_8_bit(acc: Accumulator, out: Format, low: int, high: int) -> To8Bit:
    """The integers of an accumulator's requantisation to a static format, saturated to [low, high].

    Raises UnsupportedModelError, naming the operator, where they do not fit 64-bit arithmetic.
    """
    scale = real_scale(out)
    ratios = [unit / scale for unit in acc.units]
    residual_ratio = Fraction(0) if acc.residual is None else real_scale(acc.residual) / scale
    bias_ratios = [Fraction(0)]
    if any(acc.bias):
        own = acc.bias_exponent
        bias_ratios = ratios if own is None else [Fraction(2) ** own / scale]
    found = _to_8_bit(acc, out, low, high, ratios, residual_ratio, bias_ratios)
    if found is None and not acc.mean:
        lowered = _saturating(acc, ratios, residual_ratio, bias_ratios)
        found = _to_8_bit(acc, out, low, high, *lowered)
    if found is None:
        raise too_wide(acc.operator)
    return found


def _saturating(
    acc: Accumulator,
    ratios: list[Fraction],
    residual_ratio: Fraction,
    bias_ratios: list[Fraction],
) -> tuple[list[Fraction], Fraction, list[Fraction]]:
    """The ratios, those lowered whose operand saturates the result whenever it is not zero,
    whatever the others are; and all of them, where any sum but zero saturates. The results stay
    the same. A ratio of a channel whose scale is negative is negative.
    """
    own = max(map(abs, acc.bias))
    apart = own * max(map(abs, bias_ratios)) if acc.bias_exponent is not None else Fraction(0)
    enough = _power_above(2 * (_SATURATES + 2 * LARGEST_ACTIVATION * residual_ratio + apart))
    ratios = [max(-enough, min(ratio, enough)) for ratio in ratios]
    if acc.bias_exponent is None and any(acc.bias):
        bias_ratios = ratios
    largest = max(acc.bounds) + abs(acc.zero_point) + (0 if apart else own)
    reached = largest * max(map(abs, ratios)) + apart
    residual_ratio = min(residual_ratio, _power_above(2 * (_SATURATES + reached)))
    every = [ratio for ratio in (*ratios, residual_ratio, *bias_ratios) if ratio]
    finest = min(map(abs, every), default=Fraction(1))
    if finest > _SATURATES and all(_exponent(ratio) is not None for ratio in every):
        factor = _SATURATES / finest
        ratios = [ratio * factor for ratio in ratios]
        residual_ratio *= factor
        bias_ratios = [ratio * factor for ratio in bias_ratios]
    return ratios, residual_ratio, bias_ratios


def _power_above(value: Fraction) -> Fraction:
    """A power of two that is at least ``value``, which is at least 1."""
    return Fraction(1 << (value.numerator // value.denominator).bit_length())


def _to_8_bit(
    acc: Accumulator,
    out: Format,
    low: int,
    high: int,
    ratios: list[Fraction],
    residual_ratio: Fraction,
    bias_ratios: list[Fraction],
) -> To8Bit | None:
    """None where the integers do not fit 64-bit arithmetic. Ratios: of units to the result's."""
    powers = all(
        _exponent(ratio) is not None for ratio in (*ratios, residual_ratio, *bias_ratios) if ratio
    )

    if not powers and len(ratios) == len(acc.bounds):
        # A channel of zeros has accumulators of 0; its scale, which some tools make 1, would leave
        # the other channels' multipliers fewer bits.
        ratios = [
            ratio if bound else Fraction(0) for ratio, bound in zip(ratios, acc.bounds, strict=True)
        ]

    def integers(shift: int) -> tuple[list[int], int, list[int]]:
        multipliers = [_rounded(1, ratio, shift) for ratio in ratios]
        multiplier_r = _rounded(1, residual_ratio, shift)
        units = _repeat(bias_ratios, len(acc.bias))
        offsets = [_rounded(b, unit, shift) for b, unit in zip(acc.bias, units, strict=True)]
        fixed = 0 if acc.residual is None else acc.residual.zero_point * multiplier_r
        return (
            multipliers,
            multiplier_r,
            [
                offset - acc.zero_point * multiplier - fixed
                for offset, multiplier in zip(
                    offsets, _repeat(multipliers, len(offsets)), strict=True
                )
            ],
        )

    def fits(shift: int, most: int = LARGEST_SUM) -> bool:
        multipliers, multiplier_r, offsets = integers(shift)
        count = len(offsets)
        largest = max(
            b * abs(m) + LARGEST_ACTIVATION * multiplier_r + abs(c)
            for b, m, c in zip(
                _repeat(acc.bounds, count), _repeat(multipliers, count), offsets, strict=True
            )
        )
        widest = max(multiplier_r, *map(abs, multipliers))
        exact_powers = powers and widest < LARGEST_SUM
        small = widest <= LARGEST_MULTIPLIER
        return largest <= most and (small or exact_powers)

    if powers:
        found = (_exponent(ratio) for ratio in (*ratios, residual_ratio, *bias_ratios) if ratio)
        exponents = [exponent for exponent in found if exponent is not None]
        shift = max(0, -min(exponents))
        if shift > acc.largest_shift and max(exponents) < -LARGEST_SHIFT:
            # Every product is below half of a unit: all multipliers round to 0.
            shift = acc.largest_shift
        if shift > acc.largest_shift or not fits(shift):
            return None
    else:
        largest_ratio = max(*map(abs, ratios), residual_ratio)
        above = largest_ratio.numerator.bit_length() - largest_ratio.denominator.bit_length()
        start = max(0, min(acc.largest_shift, 33 - above))
        shift = next((shift for shift in range(start, -1, -1) if fits(shift)), -1)
        if shift < 0:
            return None
        if acc.residual is not None and max(acc.bounds) <= LARGEST_ACTIVATION:
            quick = range(min(shift, 30), CLOSE_SHIFT - 1, -1)
            shift = next((s for s in quick if fits(s, LARGEST_SUM_OF_32_BITS)), shift)
    multipliers, multiplier_r, offsets = integers(shift)
    return To8Bit(
        multiplier=np.array(multipliers, np.int64),
        offset=np.array(offsets, np.int64),
        shift=shift,
        zero_point=out.zero_point,
        low=low,
        high=high,
        residual_multiplier=multiplier_r,
    )


def to_float(
    operator: str,
    x: Format,
    weight_exponent: int,
    channel_scale: NDArray[np.float32] | None,
    bias: NDArray[np.int64],
    bias_exponent: int | None,
) -> ToFloat:
    """The integers of a layer with a static 8-bit input and a float32 output.

    bias: ``[O]``, in the accumulator's unit or in ``2**bias_exponent``. Raises
    UnsupportedModelError."""
    exponent = x.exponent
    if channel_scale is not None or exponent is None:
        weight_scale = math.ldexp(1.0, weight_exponent)
        scale = np.array([float(real_scale(x)) * weight_scale], np.float64)
        if channel_scale is not None:
            scale = scale * channel_scale.astype(np.float64)
        return ToFloat(1, bias, scale.astype(np.float32))
    exponent += weight_exponent
    finest = exponent
    if bias_exponent is not None and bias.any():
        finest = min(exponent, bias_exponent)
        if max(exponent, bias_exponent) - finest > 30:
            raise too_wide(operator)
        bias = bias << (bias_exponent - finest)
    unit = np.array([math.ldexp(1.0, finest)], np.float64).astype(np.float32)
    return ToFloat(1 << (exponent - finest), bias, unit)


def static(fmt: Format | None) -> Format:
    """The format of a tensor that is known to be 8-bit with a static scale."""
    assert fmt is not None and fmt.scale is not None, "a static 8-bit tensor is expected"
    return fmt


def real_scale(fmt: Format) -> Fraction:
    assert fmt.scale is not None
    return Fraction(fmt.scale)


def power_or_dynamic(operator: str, fmt: Format | None) -> int | None:
    """The exponent of a scale, None where it is chosen per image.

    Raises UnsupportedModelError, naming the operator, where a static scale is no power of two.
    """
    assert fmt is not None
    if fmt.dynamic:
        return None
    if fmt.exponent is None or fmt.zero_point != 0:
        raise UnsupportedModelError(
            f"node {operator!r}: dynamic exponents go with power-of-two scales and zero point 0 "
            f"only; scale {fmt.scale}, zero point {fmt.zero_point}"
        )
    return fmt.exponent


def mantissa_and_exponent(bound: float) -> tuple[int, int] | None:
    """A finite float32 bound with an odd or zero mantissa; None for an infinite one."""
    if math.isinf(bound):
        return None
    if bound == 0.0:
        return 0, 0
    numerator, denominator = bound.as_integer_ratio()
    zeros = (numerator & -numerator).bit_length() - 1
    return numerator >> zeros, zeros - (denominator.bit_length() - 1)


def too_wide(operator: str) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"node {operator!r}: the scales of its operands and its result lie too far apart for "
        "64-bit sums; quantise the model again with closer scales"
    )


def _repeat(values: list, count: int) -> list:
    return values * count if len(values) == 1 else values


def _rounded(factor: int, ratio: Fraction, shift: int) -> int:
    """``round(factor * ratio * 2**shift)``, half to even, in plain integers, which are many times
    as fast.
    """
    whole, rest = divmod((factor * ratio.numerator) << shift, ratio.denominator)
    up = 2 * rest > ratio.denominator or (2 * rest == ratio.denominator and whole & 1)
    return whole + bool(up)


def _exponent(ratio: Fraction) -> int | None:
    """e where ``ratio == 2**e``, else None."""
    up, down = ratio.numerator, ratio.denominator
    if up <= 0 or up & (up - 1) or down & (down - 1):
        return None
    return up.bit_length() - down.bit_length()
