"""Sums of clustered weights."""

import numpy as np
import pytest

from sub8.ptq.solvers import solve, solve_terms
from sub8.recipe import Int4, Ternary


def test_one_term_is_what_solve_finds():
    weight = np.random.default_rng(0).normal(0, 0.1, (4, 8, 3, 3))
    (term,) = solve_terms(weight, Ternary(4))
    np.testing.assert_array_equal(term.dequantize(), solve(weight, Ternary(4)).dequantize())


@pytest.mark.parametrize("second_order", [False, True])
def test_a_second_ternary_term_brings_the_error_near_that_of_four_bits(second_order):
    rng = np.random.default_rng(1)
    weight = rng.normal(0, 0.1, (6, 8, 3, 3))
    mix = rng.normal(0, 1, (72, 30))
    gram = (mix @ mix.T + 0.1 * np.eye(72))[None] if second_order else None
    method = "hessian" if second_order else "optimal"

    def error(fmt) -> float:
        terms = solve_terms(weight, fmt, method, gram=gram)
        assert len(terms) == fmt.terms
        left = (weight - sum(term.dequantize() for term in terms)).reshape(6, -1)
        return float(np.sum(left @ (np.eye(72) if gram is None else gram[0]) * left))

    assert error(Ternary(4, terms=2)) < 0.35 * error(Ternary(4))
    assert error(Int4(4)) < error(Ternary(4, terms=2))
