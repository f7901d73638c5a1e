"""Softmax and layer normalisation over the last axis, such that every program gets the same bits.

Each step is one operation of IEEE 754, which rounds in one way only, or a sum that is exact in
whatever order it is taken: of integers below 2**53. Exponentials come from a table of integers, so
that no program's own approximation of them counts.
"""

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.rounding import Int64Array

Floats = NDArray[np.float32]

# Exponentials of 0, -1/256, -2/256, ...: what lies 16 below a row's largest element counts nothing.
STEPS_PER_UNIT = 256
EXPONENTIALS = 4096
LARGEST_EXPONENTIAL = 2**23  # integers up to here, and their table, are exact in float32
LONGEST_ROW = 2**18  # of a normalisation: n * sum(x * x) of 8-bit integers is exact in float64


def exponentials() -> Floats:
    """``exp(-j / STEPS_PER_UNIT)`` in units of ``1 / LARGEST_EXPONENTIAL``, whole numbers."""
    below = np.arange(EXPONENTIALS, dtype=np.float64) / STEPS_PER_UNIT
    return np.rint(LARGEST_EXPONENTIAL * np.exp(-below)).astype(np.float32)


def softmax(x: Floats, factor: np.float32, addend: Floats, table: Floats) -> Floats:
    """``table[steps] / sum(table[steps])`` along the last axis, where ``steps`` are how far
    ``x * factor + addend`` lies below its row's largest, to the nearest whole number.
    """
    scaled = x * factor + addend
    steps = np.rint(scaled.max(axis=-1, keepdims=True) - scaled)
    parts = table[np.minimum(steps, np.float32(len(table) - 1)).astype(np.int64)]
    total = parts.astype(np.float64).sum(axis=-1, keepdims=True)
    shares: Floats = parts / total.astype(np.float32)
    return shares


def normalise_rows(
    x: Int64Array, exponent: int, least: np.float64, gamma: Floats, beta: Floats
) -> Floats:
    """Layer normalisation of ``x * 2**exponent`` along the last axis of n: with the row's sum S,
    ``(n * x - S) / sqrt(n * sum(x * x) - S * S + least) * gamma + beta``, so that ``least`` is n *
    n times the usual epsilon. In rows of more than 2**16, n * x and S may be rounded to float32.
    """
    size = x.shape[-1]
    total = x.sum(axis=-1, keepdims=True)
    spread = size * (x * x).sum(axis=-1, keepdims=True) - total * total
    deviation = np.sqrt(np.ldexp(spread.astype(np.float64), 2 * exponent) + least)
    inverse = (1.0 / deviation).astype(np.float32)
    sized = x.astype(np.float32) * np.float32(size)
    centred = np.ldexp(sized - total.astype(np.float32), exponent)
    normal: Floats = centred * inverse * gamma + beta
    return normal
