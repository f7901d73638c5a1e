"""Whether a float program, which rounds every sum to 24 bits, gives a sum of integers exactly.

Every partial sum of ``sum(w * x) + bias + residual``, in any order, is a multiple of the finest
unit of its operands and at most ``sum(|w| * |x|) + |bias| + |residual|``. Where that stays below
2**24 units, float32 holds each of them. The size of the result alone says nothing: large products
may cancel."""

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.operators.values import Values
from sub8.numerics.dynamic import per_image
from sub8.numerics.rounding import Int64Array

FLOAT_BITS = 24
LOWEST_UNIT = -149  # float32's finest number
HIGHEST_EXPONENT = 127

# Magnitudes that broadcast against the result, and the exponent of their unit, per image or one.
Part = tuple[Int64Array, Int64Array]


def sum_is_exact(parts: list[Part]) -> bool:
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


def element(name: str, values: Values) -> Part | None:
    """An 8-bit operand of a sum; None where its scale is no power of two."""
    exponents = unit_exponents(name, values)
    return None if exponents is None else (np.abs(values.centred(name)), exponents)


def unit_exponents(name: str, values: Values) -> Int64Array | None:
    """The exponent of an 8-bit tensor, one or per image; None where its scale is no power of
    two.
    """
    own, fmt = values[name].exponents, values.formats[name]
    if own is not None:
        return own
    if fmt is None or fmt.exponent is None:
        return None
    return np.array([fmt.exponent], np.int64)


def are_powers(names: tuple[str, ...], values: Values) -> bool:
    """Whether all tensors are 8-bit with scales that are powers of two."""
    return all((fmt := values.formats[name]) is not None and fmt.scaled_by_power for name in names)


def trailing_zeros(values: Int64Array) -> int:
    """The largest k for which 2**k divides every value; 0 where all are zero."""
    merged = int(np.bitwise_or.reduce(values, axis=None))
    return (merged & -merged).bit_length() - 1 if merged else 0
