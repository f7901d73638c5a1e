"""Dynamic exponents against exact rational arithmetic."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub8.numerics import dynamic

exponents = st.integers(-20, 4)
signs = st.booleans()


def power(exponent: int) -> Fraction:
    return Fraction(2) ** exponent


def limits(signed: bool) -> tuple[int, int]:
    return (-128, 127) if signed else (0, 255)


def exact_exponent(largest: Fraction, signed: bool) -> int:
    if largest == 0:
        return -32
    floor = math.floor(math.log2(largest.numerator) - math.log2(largest.denominator))
    floor += 1 if power(floor + 1) <= largest else 0
    floor -= 1 if power(floor) > largest else 0
    return min(max(floor - (6 if signed else 7), -32), 15)


@given(
    st.lists(st.integers(-(2**24), 2**24), min_size=2, max_size=2),
    st.lists(exponents, min_size=2, max_size=2),
    st.integers(-(2**15), 2**15),
    exponents,
    st.sampled_from([None, (0, 0), (3, 1)]),
    signs,
)
def test_sum_clamp_and_rounding_are_exact(accumulators, units, bias, bias_unit, maximum, signed):
    total, unit = dynamic.aligned_sum(
        [(np.array(accumulators).reshape(2, 1), np.array(units)), (np.array([[bias]]), bias_unit)],
        None,
        maximum,
    )
    for image in range(2):
        exact = accumulators[image] * power(units[image]) + bias * power(bias_unit)
        if maximum is not None:
            exact = min(exact, maximum[0] * power(maximum[1]))
        assert int(total[image, 0]) * power(int(unit[image])) == exact
        chosen = int(dynamic.largest_exponent(total, unit, signed)[image])
        assert chosen == exact_exponent(abs(exact), signed)
        low, high = limits(signed)
        got = dynamic.round_to_exponent(total, unit, np.array([chosen] * 2), low, high)
        assert got[image, 0] == min(max(round(exact / power(chosen)), low), high)


@pytest.mark.parametrize("exponent", [-20, 30, 62, 104])
def test_a_bound_that_no_sum_reaches_is_none(exponent):
    operands = [(np.array([[12345], [-7]]), np.array([-30, -12]))]
    bounds = (-(2**24) + 1, exponent), (2**24 - 1, exponent)
    total, unit = dynamic.aligned_sum(operands, *bounds)
    reals = [int(value) * power(int(e)) for value, e in zip(total[:, 0], unit, strict=True)]
    assert reals == [12345 * power(-30), -7 * power(-12)]


def test_a_bound_that_every_sum_is_moved_to_is_met():
    total, unit = dynamic.aligned_sum([(np.array([[3]]), np.array([-40]))], (5, 20))
    assert int(total[0, 0]) * power(int(unit[0])) == 5 * power(20)


def test_far_apart_exponents_stay_in_64_bits():
    operands = [(np.array([[2**31 - 1]]), np.array([15])), (np.array([[2**31 - 1]]), -60)]
    total, unit = dynamic.aligned_sum(operands)
    assert unit[0] == 15 - dynamic.ALIGNMENT_LIMIT
    assert total[0, 0] == (2**31 - 1) << dynamic.ALIGNMENT_LIMIT


def test_an_operand_of_zeros_costs_the_others_nothing():
    # Of the first image all sums are zero, of the second one is not.
    sums = np.array([[[0], [0]], [[0], [1]]])
    bias = np.array([[[12345], [-7]]])
    for finer in (29, 60, 140):
        total, unit = dynamic.aligned_sum([(sums, np.array([95, 95])), (bias, 95 - finer)])
        assert [int(t) * power(int(unit[0])) for t in total[0, :, 0]] == [
            12345 * power(95 - finer), -7 * power(95 - finer),
        ]  # fmt: skip
        assert unit[1] == 95 - dynamic.ALIGNMENT_LIMIT


def test_nothing_but_zeros_takes_the_lowest_exponent():
    total = np.zeros((3, 4), np.int64)
    assert (dynamic.largest_exponent(total, np.array([0]), False) == dynamic.LOWEST_EXPONENT).all()


@given(st.integers(0, 2**60), signs)
def test_leading_bit_of_large_sums(largest, signed):
    got = dynamic.largest_exponent(np.array([[largest]]), np.array([-40]), signed)[0]
    assert got == exact_exponent(largest * power(-40), signed)


@given(st.integers(-(2**22), 2**22), st.integers(1, 3000), st.integers(-45, 45), signs)
def test_mean_at_a_power_of_two(total, divisor, shift, signed):
    low, high = limits(signed)
    got = dynamic.mean_to_exponent(np.array([[total]]), np.array(divisor), shift, low, high)
    exact = Fraction(total, divisor) / power(shift)
    assert got[0, 0] == min(max(round(exact), low), high)


@given(st.integers(1, 2**24), st.integers(1, 2**16), signs)
def test_exponent_of_a_mean(total, divisor, signed):
    got = dynamic.largest_mean_exponent(np.array([[total]]), np.array([[divisor]]), -8, signed)
    assert got[0] == exact_exponent(Fraction(total, divisor) * power(-8), signed)


def test_quantise_per_image():
    x = np.array([[1.0, -0.3], [0.0, 0.0], [300.0, 1.0]], np.float32)
    integers, chosen = dynamic.quantize_dynamic(x, signed=True)
    np.testing.assert_array_equal(chosen, [-6, -32, 2])
    np.testing.assert_array_equal(integers, [[64, -19], [0, 0], [75, 0]])
