"""Exponents from samples."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sub8.numerics.dfp import Format
from sub8.ptq.exponent import (
    Observer,
    choose_exponent,
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
