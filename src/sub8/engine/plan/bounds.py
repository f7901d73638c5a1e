"""Proof that no 32-bit accumulator can overflow, whatever the input."""

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.operators import Conv, Linear
from sub8.errors import UnsupportedModelError
from sub8.numerics.cluster import ClusteredWeight

LARGEST_ACTIVATION = 255
LARGEST_INT32 = 2**31 - 1


def finest_exponent(terms: tuple[ClusteredWeight, ...]) -> int:
    """The exponent that all terms of a layer are brought to, exactly."""
    return min(term.exponent for term in terms)


def aligned_integers(terms: tuple[ClusteredWeight, ...]) -> list[NDArray[np.int64]]:
    """Each term's integers ``alpha * values``, int64 ``[O, I, *kernel]``, in units of 2**finest exponent."""
    finest = finest_exponent(terms)
    return [term.scaled_integers().astype(np.int64) << (term.exponent - finest) for term in terms]


def accumulator_bound(terms: tuple[ClusteredWeight, ...]) -> NDArray[np.int64]:
    """Largest magnitude, int64 ``[O]``, that any partial sum over any 8-bit input can reach.

    255 * sum |weight| holds for signed and unsigned inputs, for any zero point, for the raw bytes as for
    the values less their zero point, and for every order of summation.
    """
    finest = finest_exponent(terms)
    total = sum(term.magnitudes << (term.exponent - finest) for term in terms)
    return LARGEST_ACTIVATION * np.asarray(total, np.int64)


def prove_int32(operator: Conv | Linear) -> None:
    """Raise UnsupportedModelError, naming the layer, where an accumulator could leave int32."""
    if max(term.exponent for term in operator.terms) - finest_exponent(operator.terms) > 31:
        raise UnsupportedModelError(
            f"layer {operator.name!r}: exponents of its weight terms lie more than 31 apart; "
            "bring the terms to closer scales"
        )
    worst = int(accumulator_bound(operator.terms).max(initial=0))
    if worst > LARGEST_INT32:
        raise UnsupportedModelError(
            f"layer {operator.name!r}: an accumulator can reach {worst}, past int32; "
            f"raise the weight exponent (halve alpha) by {(worst // 2**31).bit_length()}"
        )
