"""Channel statistics."""

import numpy as np
import pytest

from sub8.ptq.correct import (
    LARGEST_FACTOR,
    channel_means,
    channel_variances,
    output_variances,
    spread_factor,
)


@pytest.mark.parametrize(("shape", "axis"), [((3, 5, 7, 6), 1), ((4, 5), -1), ((2, 9, 5), -1)])
def test_statistics_over_batches_are_those_of_all_values(shape, axis):
    rng = np.random.default_rng(0)
    batches = [(rng.normal(size=shape) + 3).astype(np.float32) for _ in range(3)]
    rows = np.moveaxis(np.concatenate(batches), axis, 0).reshape(5, -1).astype(np.float64)
    np.testing.assert_allclose(channel_means(batches, axis), rows.mean(axis=1), rtol=1e-6)
    np.testing.assert_allclose(channel_variances(batches, axis), rows.var(axis=1), rtol=1e-5)


def test_output_variances_follow_from_the_covariance():
    rng = np.random.default_rng(1)
    patches = rng.normal(size=(2, 4, 500))
    weight = rng.normal(size=(6, 4))
    covariance = np.stack([np.cov(part, bias=True) for part in patches])
    expected = (weight.reshape(2, 3, 4) @ patches).var(axis=2).reshape(-1)
    np.testing.assert_allclose(output_variances(weight, covariance), expected)


def test_spread_factor_is_one_for_constant_channels_and_bounded():
    wanted, reached = np.array([4.0, 0.0, 1.0, 1e9]), np.array([1.0, 1.0, 0.0, 1.0])
    np.testing.assert_allclose(spread_factor(wanted, reached), [2.0, 1.0, 1.0, LARGEST_FACTOR])
