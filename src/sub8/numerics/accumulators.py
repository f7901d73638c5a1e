"""Accumulators of layers: their unit, and the proof that 32 bits hold them whatever the input."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.cluster import WeightTerm

LARGEST_ACTIVATION = 255
LARGEST_INT32 = 2**31 - 1
# Products of two 8-bit numbers, each less its zero point, and as much again that zero points add
# on the way: so many of them fit 32 bits.
LONGEST_PRODUCT = LARGEST_INT32 // (2 * LARGEST_ACTIVATION**2)
# Between the exponents of a layer's terms: aligned integers of further ones would leave 64 bits.
_LARGEST_SPREAD = 31


def finest_exponent(terms: Sequence[WeightTerm]) -> int:
    """The exponent that all terms of a layer are brought to, exactly."""
    return min(term.exponent for term in terms)


def aligned_integers(terms: Sequence[WeightTerm]) -> list[NDArray[np.int64]]:
    """Each term's integers ``alpha * values``, int64 ``[O, I, *kernel]``, in units of 2**finest
    exponent.
    """
    finest = finest_exponent(terms)
    return [term.scaled_integers().astype(np.int64) << (term.exponent - finest) for term in terms]


def accumulator_bound(terms: Sequence[WeightTerm]) -> NDArray[np.int64]:
    """Largest magnitude, int64 ``[O]``, that any partial sum over any 8-bit input can reach.

    255 * sum |weight| holds for signed and unsigned inputs, for any zero point, for the raw bytes
    as for the values less their zero point, and for every order of summation.
    """
    finest = finest_exponent(terms)
    total = sum(term.magnitudes << (term.exponent - finest) for term in terms)
    return LARGEST_ACTIVATION * np.asarray(total, np.int64)


def fits_int32(terms: Sequence[WeightTerm]) -> bool:
    """Whether no 32-bit accumulator can overflow. What quantises a layer and what runs it both go
    by this.
    """
    if max(term.exponent for term in terms) - finest_exponent(terms) > _LARGEST_SPREAD:
        return False
    return int(accumulator_bound(terms).max(initial=0)) <= LARGEST_INT32
