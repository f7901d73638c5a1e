"""Residual terms (arXiv 1707.04679): a weight as the sum of several clustered weights.

A second ternary term on what the first one leaves gives a sensitive layer up to nine levels, and
its arithmetic stays that of two ternary layers.
"""

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.cluster import ClusteredWeight
from sub8.ptq.solvers.hessian import Effort
from sub8.ptq.solvers.single import solve
from sub8.recipe import Method, WeightFormat

_ROUNDS = 3

Floats = NDArray[np.float64]


def solve_terms(
    weight: NDArray[np.floating],
    fmt: WeightFormat,
    method: Method = "optimal",
    *,
    gram: Floats | None = None,
    largest_alpha: int | None = None,
    minimum_exponent: int | None = None,
    effort: Effort | None = None,
) -> tuple[ClusteredWeight, ...]:
    """``fmt.terms`` clustered weights whose sum represents ``weight``; parameters and errors as for
    ``solve``.

    Each term is solved on what the others leave; the terms are then solved again in turn as long as
    that lowers the error (of the outputs where a gram is given, else of the weights).
    """
    target = np.asarray(weight, np.float64)

    def solved(rest: Floats) -> ClusteredWeight:
        return solve(
            rest,
            fmt,
            method,
            gram=gram,
            largest_alpha=largest_alpha,
            minimum_exponent=minimum_exponent,
            effort=effort,
        )

    terms: list[ClusteredWeight] = []
    left = target
    for _ in range(fmt.terms):
        terms.append(solved(left))
        left = left - terms[-1].dequantize()
    if fmt.terms == 1:
        return tuple(terms)
    least = _error(left, gram)
    for _ in range(_ROUNDS):
        before = least
        for place, term in enumerate(terms):
            again = solved(left + term.dequantize())
            remaining = left + term.dequantize() - again.dequantize()
            if (error := _error(remaining, gram)) < least:
                terms[place], left, least = again, remaining, error
        if least == before:
            break
    return tuple(terms)


def _error(left: Floats, gram: Floats | None) -> float:
    if gram is None:
        return float(np.sum(left**2))
    rows = left.reshape(len(gram), -1, gram.shape[1])
    return float(np.sum((rows @ gram) * rows))
