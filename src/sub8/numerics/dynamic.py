"""Dynamic exponents: sums of integers at different powers of two, and the exponent chosen per
image.

A dynamic tensor is integers ``[B, ...]`` and exponents ``[B]``. Everything is int64 and exact, but
for one rule that keeps sums in 64 bits: operands are aligned to the finest of their exponents, at
most 28 below the coarsest of those that are not all zero in the image; what lies lower is first
rounded (half to even) to that. float32 has 24 bits, so a float program cannot see the difference
where it is exact itself.
"""

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.rounding import Int64Array, divide_round_half_even, shift_round_half_even

LOWEST_EXPONENT = -32
HIGHEST_EXPONENT = 15
ALIGNMENT_LIMIT = 28
_NO_EXPONENT = -(2**31)
UNREACHABLE = 2**62  # no sum is that large
MAGNITUDE_BITS = {False: 7, True: 6}  # by signed: the largest magnitude's leading bit lands here

Operand = tuple[Int64Array, int | Int64Array]


def per_image(exponents: int | Int64Array, rank: int) -> Int64Array:
    """Exponents ``[B]`` (or one) shaped to broadcast over tensors ``[B, ...]`` of ``rank`` axes."""
    return np.asarray(exponents, np.int64).reshape(-1, *(1,) * (rank - 1))


def aligned_sum(
    operands: list[Operand],
    minimum: tuple[int, int] | None = None,
    maximum: tuple[int, int] | None = None,
) -> tuple[Int64Array, Int64Array]:
    """The sum of ``integers * 2**exponent`` over operands, clamped to real bounds.

    operands: integers that broadcast against each other (the first has the result's rank), each
        with one exponent or one per image.
    minimum, maximum: real bounds as (mantissa, exponent).

    Returns int64 sums and their exponent ``[B]`` (or ``[1]``): min over operands and bounds,
    limited as above. Bounds are met exactly, so they may ask for a finer unit; a coarser one only
    where every sum is moved to the bound, else a bound that no sum reaches would round the sums
    away."""
    rank = operands[0][0].ndim
    finest: Int64Array = np.atleast_1d(np.asarray(operands[0][1], np.int64))
    coarsest = np.full_like(finest, _NO_EXPONENT)
    for integers, exponent in operands:
        other = np.atleast_1d(np.asarray(exponent, np.int64))
        finest = np.minimum(finest, other)
        present = integers.any(axis=tuple(range(1, rank)))
        coarsest = np.maximum(coarsest, np.where(present, other, _NO_EXPONENT))
    for bound, side in ((minimum, 1), (maximum, -1)):
        if bound is not None and bound[0]:
            finest = np.minimum(finest, bound[1])
            if bound[0] * side > 0:
                coarsest = np.maximum(coarsest, bound[1])
    unit = np.maximum(finest, coarsest - ALIGNMENT_LIMIT)

    def align(integers: Int64Array, exponent: int | Int64Array) -> Int64Array:
        # Only zeros would be moved further to the left.
        shift = np.clip(unit - np.asarray(exponent, np.int64), -ALIGNMENT_LIMIT, 62)
        shift = per_image(shift, rank)
        return shift_round_half_even(integers, shift)

    total = align(*operands[0])
    for integers, exponent in operands[1:]:
        total = total + align(integers, exponent)
    if minimum is not None:
        total = np.maximum(total, per_image(_bound_in_units(minimum, unit), rank))
    if maximum is not None:
        total = np.minimum(total, per_image(_bound_in_units(maximum, unit), rank))
    return total, unit


def _bound_in_units(bound: tuple[int, int], unit: Int64Array) -> Int64Array:
    """A real bound in units of ``2**unit``; beyond every sum it only keeps its sign."""
    mantissa, exponent = bound
    shift = np.clip(unit - exponent, -62, 62)
    reaches = abs(mantissa) <= UNREACHABLE >> np.maximum(-shift, 0)
    exact = shift_round_half_even(np.array(mantissa, np.int64), np.where(reaches, shift, 0))
    return np.where(reaches, exact, UNREACHABLE if mantissa > 0 else -UNREACHABLE)


def choose_exponent(
    largest: NDArray[np.float64], signed: bool, unit: int | Int64Array = 0
) -> Int64Array:
    """The exponent for largest magnitudes ``m = largest * 2**unit``: the one that brings m's
    leading bit to the type's highest bit, ``floor(log2 m) - 7`` (uint8) or ``- 6`` (int8), within
    limits; the lowest for 0 and for NaN, on which every comparison of the file's ladder fails.

    >>> choose_exponent(np.array([0.0, 1.0, 1.99, 2.0, 1e9]), signed=False)
    array([-32,  -7,  -7,  -6,  15])
    """
    floor_log2 = np.frexp(largest)[1].astype(np.int64) - 1 + np.asarray(unit, np.int64)
    chosen = np.clip(floor_log2 - MAGNITUDE_BITS[signed], LOWEST_EXPONENT, HIGHEST_EXPONENT)
    chosen = np.where(np.isposinf(largest), HIGHEST_EXPONENT, chosen)
    return np.where((largest == 0) | np.isnan(largest), LOWEST_EXPONENT, chosen).astype(np.int64)


def largest_exponent(total: Int64Array, unit: Int64Array, signed: bool) -> Int64Array:
    """The exponent ``[B]`` that the sums ``total * 2**unit`` are rounded to; the lowest where all
    are zero.
    """
    largest = np.abs(total).reshape(len(total), -1).max(axis=1, initial=0)
    # The leading bit alone counts. Integers below 2**53 are exact doubles; of larger ones the low
    # bits are left out, which a conversion might round up.
    high = largest >> 32
    exact = np.where(high > 0, np.ldexp(high.astype(np.float64), 32), largest.astype(np.float64))
    return choose_exponent(exact, signed, unit)


def round_to_exponent(
    total: Int64Array, unit: Int64Array, exponent: int | Int64Array, low: int, high: int
) -> Int64Array:
    """``clamp(round_half_even(total * 2**(unit - exponent)), low, high)``, int64."""
    shift = per_image(np.asarray(exponent, np.int64) - unit, total.ndim)
    # Towards a finer exponent every magnitude of 512 and more saturates, so nothing can overflow.
    small = np.where(shift < 0, np.clip(total, -512, 512), total)
    return np.clip(shift_round_half_even(small, np.clip(shift, -40, 62)), low, high)


def mean_to_exponent(
    sums: Int64Array, divisor: Int64Array, shift: int | Int64Array, low: int, high: int
) -> Int64Array:
    """``clamp(round_half_even(sums / (divisor * 2**shift)), low, high)``, int64, shift per
    image.
    """
    shift = per_image(shift, sums.ndim)
    # Beyond these limits the result is saturated, or 0, all the same.
    left, right = np.clip(-shift, 0, 30), np.clip(shift, 0, 38)
    return np.clip(divide_round_half_even(sums << left, divisor << right), low, high)


def largest_mean_exponent(
    sums: Int64Array, divisor: Int64Array, x_exponent: int | Int64Array, signed: bool
) -> Int64Array:
    """The exponent ``[B]`` chosen for the means ``sums / divisor * 2**x_exponent``."""
    # Exact: a quotient just below 2**k differs from it by at least 2**k / sums, sums stay below
    # 2**29, and double division errs by 2**k * 2**-53.
    means = (np.abs(sums) / divisor).reshape(len(sums), -1).max(axis=1, initial=0.0)
    return choose_exponent(means, signed, x_exponent)


def quantize_dynamic(values: NDArray[np.float32], signed: bool) -> tuple[Int64Array, Int64Array]:
    """Floats ``[B, ...]`` to integers (int64, saturated; NaN to the lowest) and exponents
    ``[B]``.
    """
    largest = np.abs(values).reshape(len(values), -1).max(axis=1, initial=0.0).astype(np.float64)
    exponent = choose_exponent(largest, signed)
    scaled = np.ldexp(values.astype(np.float64), -per_image(exponent, values.ndim))
    low, high = (-128, 127) if signed else (0, 255)
    return np.minimum(np.fmax(np.rint(scaled), low), high).astype(np.int64), exponent
