"""Exponents from samples."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sub8.numerics.dfp import Format, dequantize, quantize
from sub8.ptq.exponent import (
    Observer,
    choose_exponent,
    choose_format,
    covering_exponent,
    squared_error,
)
from sub8.recipe import Dfp8

magnitudes = st.floats(2.0**-20, 2.0**20, width=32)


@given(magnitudes, st.booleans())
def test_covering_exponent_is_the_finest_that_does_not_saturate(magnitude, signed):
    exponent = covering_exponent(magnitude, signed)
    high = Format.dfp(signed, 0).high
    assert magnitude <= high * 2.0**exponent
    assert magnitude > high * 2.0 ** (exponent - 1)


@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=40), st.booleans())
def test_least_error_is_no_worse_than_the_largest_value_rule(values, signed):
    sample = np.array(values if signed else np.abs(values), np.float32)
    magnitude = float(np.abs(sample).max())
    best, covering = (
        Format.dfp(signed, choose_exponent(sample, magnitude, signed, Dfp8(calibration=rule)))
        for rule in ("mse", "max")
    )
    assert squared_error(sample, best) <= squared_error(sample, covering)


def test_a_lone_outlier_saturates_under_percentile_but_not_under_max():
    sample = np.append(np.linspace(0, 1, 100_000, dtype=np.float32), np.float32(100))
    assert choose_exponent(sample, 100.0, False, Dfp8(calibration="max")) == -1
    assert (
        choose_exponent(sample, 100.0, False, Dfp8(calibration="percentile", percentile=99.9)) == -7
    )


@pytest.mark.parametrize("rule", ["mse", "max", "percentile"])
@given(st.floats(1.0, 100.0, width=32))
def test_what_is_hardly_negative_gets_a_zero_point_and_finer_steps(rule, top):
    x = np.linspace(-8, top, 5000, dtype=np.float32)
    x = x * np.clip(x / 6 + np.float32(0.5), 0, 1)  # hard-swish, at least -0.375
    how = Dfp8(calibration=rule)
    lopsided = choose_format(x, float(x.min()), float(x.max()), True, how, lopsided=True)
    plain = choose_format(x, float(x.min()), float(x.max()), True, how)
    assert plain.zero_point == 0
    assert plain.signed
    if lopsided != plain:  # where the range just fits int8's, there is nothing to win
        assert lopsided.scale <= plain.scale
        assert not lopsided.signed
        assert squared_error(x, lopsided) < squared_error(x, plain) / 2
        assert np.abs(dequantize(quantize(x.min(), lopsided), lopsided) - x.min()) <= lopsided.scale
    if rule == "max":
        covered = dequantize(np.array([lopsided.low, lopsided.high]), lopsided)
        assert covered[0] <= x.min()
        assert x.max() <= covered[1]


def test_what_lies_around_0_has_no_zero_point():
    x = np.linspace(-1, 1.2, 1000, dtype=np.float32)
    assert choose_format(x, -1.0, 1.2, True, Dfp8(), lopsided=True).zero_point == 0


def test_observer_keeps_the_exact_range_and_a_bounded_sample():
    observer = Observer.for_images(1_000)
    rng = np.random.default_rng(0)
    for value in range(10):
        batch = np.full((2, 4, 50, 50), value, np.float32)
        batch[1, 3, 49, 49] = -value
        observer.add(batch, rng)
    assert (observer.smallest, observer.largest, observer.magnitude) == (-9.0, 9.0, 9.0)
    assert observer.sample().size == 20 * observer.per_image


def test_observer_notices_what_is_not_a_number():
    observer = Observer.for_images(1)
    observer.add(np.array([[0, np.nan, 1]], np.float32), np.random.default_rng(0))
    assert not observer.finite
