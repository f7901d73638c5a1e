"""Ternary scales of 7 bits: whoever makes scales keeps alpha times integer within int8."""

import numpy as np
import pytest

from sub8.numerics.weight_format import WEIGHT_FORMATS
from sub8.ptq.solvers import solve, solve_terms
from sub8.recipe import Int8, Ternary

# Three clusters far larger than the others, so that scales reach the top of their range.
RANDOM = np.random.default_rng(0)
WEIGHT = RANDOM.normal(0, 0.1, (6, 12, 3, 3))
WEIGHT[:3, :4] *= 8
ROOT = RANDOM.normal(0, 1, (108, 400))
GRAM = (ROOT @ ROOT.T / 400)[None]
LARGEST = WEIGHT_FORMATS["ternary"].largest_alpha


def error(weight, solution) -> float:
    left = (weight - solution.dequantize()).reshape(6, -1)
    return float(np.sum(left @ GRAM[0] * left))


@pytest.mark.parametrize("method", ["paper", "optimal", "hessian"])
@pytest.mark.parametrize("terms", [1, 2])
def test_solvers_stay_within_int8(method, terms):
    for term in solve_terms(WEIGHT, Ternary(4, terms=terms), method, gram=GRAM):
        assert LARGEST // 2 < term.alpha.max() <= LARGEST == 127
        assert np.abs(term.scaled_integers()).max() <= 127


def test_other_integers_keep_all_8_bits():
    assert solve(WEIGHT, Int8(), "hessian", gram=GRAM).alpha.max() > 127


def test_the_scales_are_fitted_to_the_coarser_grid():
    """Not rounded afterwards: the fit loses hardly anything against scales of 8 bits."""
    fine = solve(WEIGHT, Ternary(4), "hessian", gram=GRAM, largest_alpha=255)
    assert fine.alpha.max() > LARGEST
    fitted = solve(WEIGHT, Ternary(4), "hessian", gram=GRAM)
    assert error(WEIGHT, fitted) < 1.02 * error(WEIGHT, fine)


def test_scales_that_grow_in_reconstruction_stay_within_int8():
    torch = pytest.importorskip("torch")
    from sub8.reconstruct.soft import SoftWeight

    weight = SoftWeight(solve(WEIGHT, Ternary(4)))
    with torch.no_grad():
        weight.change += 1.0
    assert weight.result().alpha.max() == LARGEST
    assert weight.whole_alpha().max() == LARGEST


def test_scales_that_grow_in_training_take_a_coarser_exponent():
    torch = pytest.importorskip("torch")
    from sub8.train.weight import ClusteredParameter

    start = solve(WEIGHT, Ternary(4))
    weight = ClusteredParameter("layer", start, WEIGHT)
    ones, none = torch.ones(6), torch.zeros(6)
    with torch.no_grad():
        weight.log_scale += 1.0
    grown = weight.solution(ones, none, None, -64)
    assert LARGEST // 2 < grown.alpha.max() <= LARGEST
    assert grown.exponent > start.exponent
    weight.exponent.fill_(grown.exponent)
    np.testing.assert_array_equal(weight(ones).detach().numpy(), grown.dequantize())
