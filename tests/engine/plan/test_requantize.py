"""From formats to integers: powers of two are exact, other scales are close, and nothing leaves 64
bits.
"""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub8.engine.plan.operators import Add, AveragePool, Conv, Mul, Reformat
from sub8.engine.plan.requantize import LARGEST_MULTIPLIER, LARGEST_SUM, _rounded
from sub8.errors import UnsupportedModelError
from sub8.numerics.accumulators import accumulator_bound
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.dfp import Format
from sub8.numerics.requantize import requantize


def layer(bias, weight_exponent=0, channel_scale=None, **options):
    values = np.array([[3, -4], [100, 127]], np.int8).reshape(2, 2, 1, 1)
    alpha = np.array([[2], [9]], np.uint8)
    term = ClusteredWeight("int8", values, alpha, weight_exponent, 2, channel_scale)
    bias = np.array(bias, np.int32)
    return Conv(
        name="layer", x="x", terms=(term,), bias=bias, out="y", low=-128, high=127, **options
    )


@given(st.integers(-12, 12), st.integers(-8, 2), st.integers(-12, 12), st.integers(-10, 5))
def test_powers_of_two_are_exact(x, weight, out, residual):
    formats = {
        "x": Format.dfp(True, x),
        "y": Format.dfp(True, out),
        "r": Format.dfp(True, residual),
    }
    operator = layer([5, -7], weight, residual="r")
    integers = operator.to_8_bit(formats)
    unit = Fraction(2) ** integers.shift
    assert Fraction(int(integers.multiplier[0])) / unit == Fraction(2) ** (x + weight - out)
    assert Fraction(integers.residual_multiplier) / unit == Fraction(2) ** (residual - out)
    for bias, offset in zip(operator.bias, integers.offset, strict=True):
        assert offset == int(bias) * int(integers.multiplier[0])


@given(
    st.floats(1e-4, 1.0), st.floats(1e-4, 1.0), st.floats(1e-4, 0.1), st.floats(1e-4, 0.1),
    st.integers(0, 255), st.integers(0, 255),
)  # fmt: skip
def test_foreign_scales_fit_and_are_close(x, out, first, second, x_zero, out_zero):
    formats = {"x": Format(False, x, x_zero), "y": Format(False, out, out_zero)}
    operator = layer([2**30, -5], channel_scale=np.array([first, second], np.float32))
    integers = operator.to_8_bit(formats)
    bound = accumulator_bound(operator.terms)
    assert integers.multiplier.max() <= LARGEST_MULTIPLIER
    for channel, scale in enumerate(np.array([first, second], np.float32)):
        ratio = Fraction(x) * Fraction(float(scale)) / Fraction(out)
        multiplier, offset = int(integers.multiplier[channel]), int(integers.offset[channel])
        assert abs(multiplier - ratio * 2**integers.shift) <= Fraction(1, 2)
        assert int(bound[channel]) * multiplier + abs(offset) <= LARGEST_SUM
    assert integers.zero_point == out_zero


def test_zero_points_of_raw_integers_are_in_the_offset():
    formats = {"a": Format(False, 0.5, 3), "b": Format(True, 0.25, -9), "y": Format(False, 0.25, 7)}
    integers = Add(name="add", a="a", b="b", out="y", low=0, high=255).to_8_bit(formats)
    assert (integers.multiplier[0], integers.residual_multiplier, integers.shift) == (2, 1, 0)
    assert integers.offset[0] == -3 * 2 + 9


def test_product_and_mean():
    formats = {"a": Format.dfp(False, -3), "b": Format.dfp(True, -4), "y": Format.dfp(True, -5)}
    product = Mul(name="mul", a="a", b="b", out="y", low=-128, high=127).to_8_bit(formats)
    assert (product.multiplier[0], product.shift) == (1, 2)
    pool = AveragePool(name="pool", x="a", out="y", kernel=None, low=0, high=255)
    assert (pool.to_8_bit(formats).multiplier[0], pool.to_8_bit(formats).shift) == (4, 0)


def test_result_far_coarser_than_its_operand_rounds_to_zero():
    formats = {"x": Format.dfp(True, -60), "y": Format.dfp(True, 30)}
    integers = Reformat(name="r", x="x", out="y", low=-128, high=127).to_8_bit(formats)
    assert (integers.multiplier == 0).all()
    assert (integers.offset == 0).all()


@given(
    st.integers(20, 120), st.integers(-8, 2), st.integers(-12, 12), st.integers(-10, 90),
    st.lists(st.integers(-3, 3), min_size=2, max_size=2), st.integers(-128, 127),
)  # fmt: skip
def test_what_saturates_anyway_may_lie_any_distance_apart(x, weight, out, residual, acc, added):
    formats = {
        "x": Format.dfp(True, x),
        "y": Format.dfp(True, out),
        "r": Format.dfp(True, residual),
    }
    operator = layer([1, 0], weight, residual="r")
    integers = operator.to_8_bit(formats)
    sums = np.array(acc, np.int64).reshape(1, 2, 1, 1)
    raw = np.full_like(sums, added)
    got = requantize(sums, integers, np.dtype(np.int8), residual=raw, axis=1).reshape(-1)
    for channel, (value, bias) in enumerate(zip(acc, (1, 0), strict=True)):
        real = (value + bias) * Fraction(2) ** (x + weight) + added * Fraction(2) ** residual
        assert got[channel] == min(max(round(real / Fraction(2) ** out), -128), 127)


def test_scales_too_far_apart_name_the_node():
    formats = {"a": Format.dfp(True, 0), "b": Format.dfp(True, -70), "y": Format.dfp(True, 0)}
    with pytest.raises(UnsupportedModelError, match=r"'add'.*too far apart"):
        Add(name="add", a="a", b="b", out="y", low=-128, high=127).to_8_bit(formats)


@given(
    st.integers(-(2**31), 2**31),
    st.fractions(min_value=0, max_denominator=2**30),
    st.integers(0, 62),
)
def test_rounding_of_ratios_is_that_of_fractions(factor, ratio, shift):
    assert _rounded(factor, ratio, shift) == round(factor * ratio * 2**shift)
    half = Fraction(2 * factor + 1, 2 ** (shift + 1))
    assert _rounded(1, half, shift) == round(half * 2**shift)
