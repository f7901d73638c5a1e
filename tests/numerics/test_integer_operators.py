"""The operators against definitions that are slower and plainer still."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sub8.numerics import operators
from sub8.numerics.dfp import Format
from sub8.numerics.requantize import To8Bit, requantize, requantize_mean
from sub8.numerics.windows import output_size


def plain_convolution(x, weight, strides, pads, dilations, groups):
    outputs, inputs, kernel_h, kernel_w = weight.shape
    height = output_size(x.shape[2], kernel_h, strides[0], pads[0], pads[2], dilations[0])
    width = output_size(x.shape[3], kernel_w, strides[1], pads[1], pads[3], dilations[1])
    result = np.zeros((x.shape[0], outputs, height, width), np.int64)
    for b, o, i, j in np.ndindex(*result.shape):
        group = o // (outputs // groups)
        for c, u, v in np.ndindex(inputs, kernel_h, kernel_w):
            row = i * strides[0] + u * dilations[0] - pads[0]
            column = j * strides[1] + v * dilations[1] - pads[1]
            if 0 <= row < x.shape[2] and 0 <= column < x.shape[3]:
                result[b, o, i, j] += int(weight[o, c, u, v]) * int(
                    x[b, group * inputs + c, row, column]
                )
    return result


pairs = st.tuples(st.integers(1, 2), st.integers(1, 2))
kernels = st.tuples(st.integers(1, 3), st.integers(1, 3))
pads = st.tuples(*[st.integers(0, 2)] * 4)


@settings(max_examples=40)
@given(kernels, pairs, pads, pairs, st.integers(1, 2), st.integers(0, 2**32 - 1))
def test_convolution(kernel, strides, pads, dilations, groups, seed):
    random = np.random.default_rng(seed)
    x = random.integers(-128, 256, (2, 2 * groups, 5, 6))
    weight = random.integers(-300, 300, (3 * groups, 2, *kernel))
    got = operators.convolve(
        x, weight, strides=strides, pads=pads, dilations=dilations, groups=groups
    )
    np.testing.assert_array_equal(
        got, plain_convolution(x, weight, strides, pads, dilations, groups)
    )


def test_matrix_product_is_exact_beyond_double_precision():
    x = np.array([[255, 255, 1]])
    weight = np.array([[2**50, -(2**50), 1], [2**53, 3, 5]], np.int64)
    np.testing.assert_array_equal(operators.linear(x, weight), [[1, 255 * 2**53 + 255 * 3 + 5]])


def plain(shift: int, zero_point: int, low: int, high: int) -> To8Bit:
    """The sum itself, shifted."""
    return To8Bit(np.array([1]), np.array([0]), shift, zero_point, low, high)


@given(st.integers(-(2**40), 2**40), st.integers(0, 45), st.integers(-20, 20))
def test_requantise_rounds_half_to_even_then_saturates(total, shift, zero_point):
    exact = round(Fraction(total, 2**shift)) + zero_point
    fmt = Format(True, 1.0, zero_point)
    got = requantize(np.array([total]), plain(shift, zero_point, -100, 90), fmt.dtype)
    assert got.dtype == np.int8
    assert got[0] == min(max(exact, -100), 90)


@given(st.integers(-(2**20), 2**20), st.integers(1, 5000))
def test_mean_rounds_the_exact_quotient(total, divisor):
    to = plain(0, 0, -128, 127)
    got = requantize_mean(np.array([total]), np.array([divisor]), to, np.dtype(np.int8))
    assert got[0] == min(max(round(Fraction(total, divisor)), -128), 127)


def test_average_window_divisors():
    x = np.ones((1, 1, 3, 3), np.int64)
    common = {"kernel": (2, 2), "strides": (2, 2), "pads": (1, 1, 0, 0), "ceil_mode": False}
    sums, inside = operators.sum_pool(x, count_include_pad=False, **common)
    np.testing.assert_array_equal(inside, [[1, 2], [2, 4]])
    np.testing.assert_array_equal(sums[0, 0], inside)
    _, all_positions = operators.sum_pool(x, count_include_pad=True, **common)
    np.testing.assert_array_equal(all_positions, [[4, 4], [4, 4]])


def test_padding_never_wins_a_maximum():
    x = np.full((1, 1, 2, 2), -5, np.int8)
    got = operators.max_pool(x, (2, 2), (1, 1), (1, 1, 1, 1), (1, 1), False)
    assert got.dtype == np.int8
    assert (got == -5).all()


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_table_of_identity(dtype):
    limits = np.iinfo(dtype)
    every = np.arange(limits.min, limits.max + 1).astype(dtype)
    np.testing.assert_array_equal(operators.look_up(every, every), every)


def test_negative_pads_crop():
    x = np.arange(12).reshape(3, 4)
    got = operators.pad(x, (0, 1, -1, -2), 9)
    np.testing.assert_array_equal(got, [[9, 0, 1], [9, 4, 5]])


def test_slice_counts_from_the_end():
    x = np.arange(24).reshape(2, 3, 4)
    got = operators.cut(x, (-2, 0), (2**63 - 1, 4), (1, 2), (1, 3))
    np.testing.assert_array_equal(got, x[:, -2:, 0:4:3])


@pytest.mark.parametrize(
    ("shape", "target", "expected"),
    [
        ((2, 3, 4), (0, -1), (2, 12)),
        ((2, 3, 4), (-1, 0, 2), (4, 3, 2)),
        ((2, 3), (3, 2), (3, 2)),
    ],
)
def test_reshape_target(shape, target, expected):
    assert operators.reshape_target(shape, target) == expected


@pytest.mark.parametrize("target", [(5, -1), (-1, -1), (4, 2), (1, 1, 1, 0)])
def test_reshape_target_that_does_not_fit(target):
    with pytest.raises(ValueError, match=r"cannot be reshaped|copies a dimension"):
        operators.reshape_target((2, 3), target)
