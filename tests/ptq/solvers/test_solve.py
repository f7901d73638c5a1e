"""Solvers of single weights, against brute force."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sub8.numerics.weight_format import WEIGHT_FORMATS
from sub8.ptq.solvers import solve
from sub8.ptq.solvers.clusters import AlphaLimits, Clusters, nearest, squared_error
from sub8.ptq.solvers.optimal import optimal_alpha, ternary_alpha
from sub8.recipe import WeightFormat

SHAPES = [(5, 7, 3, 3), (4, 1, 3, 3), (6, 10), (3, 8, 1, 1), (2, 3, 5, 5)]


@pytest.mark.parametrize("method", ["paper", "optimal"])
@pytest.mark.parametrize("kind", ["ternary", "int4", "int8"])
@pytest.mark.parametrize("cluster", [1, 4, 64, "all"])
@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_kind_and_cluster_size_is_solved(shape, cluster, kind, method):
    weight = np.random.default_rng(1).normal(0, 0.1, shape)
    got = solve(weight, WeightFormat(kind, cluster), method)
    assert got.values.shape == shape
    largest = WEIGHT_FORMATS[kind].largest_alpha
    assert largest // 2 < got.alpha.max() <= largest  # the finest exponent
    error = np.linalg.norm(got.dequantize() - weight) / np.linalg.norm(weight)
    assert error < {"ternary": 0.9, "int4": 0.2, "int8": 0.012}[kind]


@pytest.mark.parametrize("kind", ["ternary", "int4", "int8"])
@pytest.mark.parametrize("method", ["paper", "optimal"])
def test_empty_clusters_have_alpha_zero_and_no_others(kind, method):
    weight = np.random.default_rng(2).normal(0, 1, (3, 8, 3, 3))
    weight[1, :4] = 0
    got = solve(weight, WeightFormat(kind, 4), method)
    assert got.alpha[1, 0] == 0
    assert not got.values[1, :4].any()
    assert np.count_nonzero(got.alpha) == got.alpha.size - 1
    empty = solve(np.zeros((2, 4)), WeightFormat(kind, 2), method)
    assert not empty.alpha.any() and not empty.values.any()


@settings(max_examples=40)
@given(st.integers(1, 5), st.integers(0, 10_000))
def test_ternary_optimum_equals_brute_force(n, seed):
    row = np.random.default_rng(seed).normal(0, 1, n)
    least = min(
        row @ row - (t @ row) ** 2 / (t @ t)
        for t in map(np.array, itertools.product((-1, 0, 1), repeat=n))
        if t.any()
    )
    alpha = ternary_alpha(row)
    values = np.clip(np.rint(row / alpha), -1, 1)
    assert np.sum((row - alpha * values) ** 2) == pytest.approx(least, abs=1e-12)


def test_four_bit_search_comes_close_to_a_fine_scan():
    table = np.random.default_rng(3).normal(0, 1, (50, 12, 1, 1))
    fmt = WeightFormat("int4", "all")
    clusters = Clusters.of(table.shape, fmt)
    rows = clusters.split(table)
    alpha = optimal_alpha(rows, clusters)
    found = squared_error(rows, alpha, nearest(rows, alpha, 7))
    scan = np.full(50, np.inf)
    for multiple in np.linspace(0.3, 2, 2000):
        unit = np.abs(table[..., 0, 0]).max(axis=1, keepdims=True) / 7 * multiple
        q = np.clip(np.rint(table[..., 0, 0] / unit), -7, 7)
        scan = np.minimum(scan, np.sum((table[..., 0, 0] - unit * q) ** 2, axis=1))
    assert found.sum() < 1.06 * scan.sum()


@pytest.mark.parametrize("cluster", [4, "all"])
def test_rows_are_solved_as_if_alone_however_many_there_are(cluster):
    table = np.random.default_rng(5).normal(0, 1, (90, 1000))
    fmt = WeightFormat("int8", cluster)
    found = solve(table, fmt)
    clusters = Clusters.of(table.shape, fmt)
    rows = clusters.split(table)
    alpha = optimal_alpha(rows, clusters)
    for row in (0, 64, 65, 66, 89):
        np.testing.assert_array_equal(optimal_alpha(rows[[row]], clusters)[0], alpha[row])
        alone = solve(table[row : row + 1], fmt, minimum_exponent=found.exponent)
        np.testing.assert_array_equal(alone.values[0], found.values[row])
        np.testing.assert_array_equal(alone.alpha[0], found.alpha[row])


@pytest.mark.parametrize("kind", ["ternary", "int4", "int8"])
def test_limits_are_kept_and_values_fit_the_rounded_alpha(kind):
    weight = np.random.default_rng(4).normal(0, 0.2, (6, 9, 3, 3))
    got = solve(weight, WeightFormat(kind, 4), largest_alpha=11)
    assert 5 < got.alpha.max() <= 11
    coarse = solve(weight, WeightFormat(kind, 4), minimum_exponent=got.exponent + 2)
    assert coarse.exponent == got.exponent + 2
    for result in (got, coarse):
        unit = 2.0**result.exponent * np.repeat(result.alpha, 4, axis=1)[:, :9, None, None]
        best = np.clip(
            np.rint(weight / np.where(unit > 0, unit, 1)),
            -WEIGHT_FORMATS[kind].largest,
            WEIGHT_FORMATS[kind].largest,
        )
        np.testing.assert_array_equal(result.values, np.where(unit > 0, best, 0))


def test_paper_solver_follows_its_two_steps():
    kernels = np.array([[0.9, -1.1], [0.2, 0.1]])  # one output, two input channels, a 1x2 kernel
    got = solve(kernels.reshape(1, 2, 1, 2), WeightFormat("ternary", 2), "paper")
    first, second = np.sqrt((0.81 + 1.21) / 2), np.sqrt((0.04 + 0.01) / 2)
    both = np.sqrt(
        (first**2 + second**2) / 2
    )  # its error is smaller: both large weights pass the threshold
    assert got.values.reshape(-1).tolist() == [1, -1, 0, 0]
    assert got.alpha[0, 0] * 2.0**got.exponent == pytest.approx(both, rel=0.004)


def test_finest_exponent_is_the_finest():
    for top in (1.0, 255.0, 255.4, 256.0, 1e-3, 3e-7):
        e = AlphaLimits().finest_exponent(np.array([top]))
        assert round(top / 2.0**e) <= 255 < round(top / 2.0 ** (e - 1))


def test_bad_limits_are_refused():
    with pytest.raises(ValueError, match=r"1\.\.255"):
        solve(np.ones((1, 1)), WeightFormat("ternary", 1), largest_alpha=0)
