"""The one rounding rule of sub8, round half to even, on 64-bit integers; and sizes rounded up."""

import numpy as np
from numpy.typing import NDArray

Int64Array = NDArray[np.int64]


def divide_up(value: int, divisor: int) -> int:
    """The smallest integer that is at least ``value / divisor`` (divisor > 0)."""
    return -(-value // divisor)


def shift_round_half_even(values: Int64Array, shift: int | Int64Array) -> Int64Array:
    """Return ``values * 2**-shift`` rounded half to even; a negative shift multiplies exactly.

    ``shift`` is a scalar or broadcasts against ``values`` (one shift per image for dynamic
    exponents). Shifts of 63 and more would be undefined on int64, so callers keep them below that.
    """
    values = np.asarray(values, dtype=np.int64)
    shift = np.asarray(shift, dtype=np.int64)
    left = np.maximum(-shift, 0)
    right = np.maximum(shift, 0)
    values = values << left
    floor = values >> right
    remainder = values - (floor << right)
    half = np.where(right > 0, np.int64(1) << np.maximum(right - 1, 0), 0)
    up = (remainder > half) | ((remainder == half) & (right > 0) & ((floor & 1) == 1))
    return floor + up


def divide_round_half_even(values: Int64Array, divisor: int | Int64Array) -> Int64Array:
    """Return ``values / divisor`` (divisor > 0) rounded half to even."""
    values = np.asarray(values, dtype=np.int64)
    divisor = np.asarray(divisor, dtype=np.int64)
    floor = values // divisor
    twice = 2 * (values - floor * divisor)
    up = (twice > divisor) | ((twice == divisor) & ((floor & 1) == 1))
    return floor + up
