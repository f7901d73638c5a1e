"""The second-order solver: against brute force, and against least squares on the weights alone."""

import itertools

import numpy as np
import pytest

from sub8.native import _core
from sub8.numerics.cluster import ClusteredWeight
from sub8.numerics.weight_format import WEIGHT_FORMATS
from sub8.ptq.solvers import solve
from sub8.ptq.solvers.clusters import AlphaLimits, Clusters
from sub8.ptq.solvers.hessian import Effort, solve_hessian
from sub8.ptq.solvers.quadratic import Grid, Quadratic, fit
from sub8.recipe import WeightFormat


def covariance(rng: np.random.Generator, groups: int, columns: int) -> np.ndarray:
    """Correlated inputs, as neighbouring pixels are."""
    mix = rng.normal(0, 1, (groups, columns, max(2, columns // 3)))
    return mix @ mix.transpose(0, 2, 1) + 0.05 * np.eye(columns)


def output_error(weight: np.ndarray, gram: np.ndarray, found: ClusteredWeight) -> float:
    groups, columns = gram.shape[:2]
    error = (weight - found.dequantize()).reshape(groups, -1, columns)
    whole = weight.reshape(groups, -1, columns)
    return float(np.sum(error @ gram * error) / np.sum(whole @ gram * whole))


@pytest.mark.parametrize("kind", ["ternary", "int4", "int8"])
@pytest.mark.parametrize(
    ("shape", "groups", "cluster"),
    [
        ((6, 8, 3, 3), 1, 4),
        ((6, 7, 3, 3), 1, 4),
        ((5, 12), 1, "all"),
        ((8, 4, 1, 1), 2, 2),
        ((6, 1, 3, 3), 6, "all"),
        ((3, 60), 1, 52),
    ],
)
def test_outputs_are_closer_than_with_least_squares_on_the_weights(kind, shape, groups, cluster):
    rng = np.random.default_rng(0)
    weight = rng.normal(0, 0.1, shape)
    gram = covariance(rng, groups, int(np.prod(shape[1:])))
    fmt = WeightFormat(kind, cluster)
    found = solve(weight, fmt, "hessian", gram=gram)
    assert found.values.shape == shape
    assert np.abs(found.values).max() <= WEIGHT_FORMATS[kind].largest
    plain = output_error(weight, gram, solve(weight, fmt, "optimal"))
    assert output_error(weight, gram, found) < 0.7 * plain


def test_one_small_cluster_is_solved_almost_as_well_as_by_brute_force():
    rng = np.random.default_rng(1)
    rows = 200
    gram = covariance(rng, 1, 5)
    weight = rng.normal(0, 1, (rows, 5))
    candidates = np.array([t for t in itertools.product((-1, 0, 1), repeat=5) if any(t)])
    product = weight @ gram[0] @ candidates.T
    curvature = np.einsum("ti,ij,tj->t", candidates, gram[0], candidates)
    whole = np.einsum("ri,ij,rj->r", weight, gram[0], weight)
    least = np.sum(whole - np.max(product**2 / curvature, axis=1))
    found = solve(weight, WeightFormat("ternary", "all"), "hessian", gram=gram)
    error = weight - found.dequantize()
    assert np.sum(error @ gram[0] * error) < 1.15 * least


def swept(problem: Quadratic, scale: np.ndarray, q: np.ndarray, largest: int, sweeps: int):
    """Coordinate descent as defined, column by column, with NumPy."""
    q = q.copy()
    diagonal = np.einsum("gnn->gn", problem.s)
    for _ in range(sweeps):
        for j in range(q.shape[2]):
            product = np.einsum("grn,gn->gr", q, problem.s[:, j])
            step = (problem.b[:, :, j] / scale - product) / diagonal[:, None, j]
            q[:, :, j] = np.clip(np.rint(q[:, :, j] + step), -largest, largest)
    return q


def fitted_by_definition(problem: Quadratic, alpha: np.ndarray, q: np.ndarray, grid: Grid):
    scale = np.maximum(alpha, 0.5) * grid.unit
    for _ in range(4):
        q = swept(problem, scale, q, grid.largest, 1)
        curvature = np.einsum("grn,gnm,grm->gr", q, problem.s, q)
        product = np.einsum("grn,grn->gr", q, problem.b)
        fits = (curvature > 0) & (product > 0)
        scale = np.where(fits, product / np.where(fits, curvature, 1), scale)
    below = np.clip(np.floor(scale / grid.unit), 1, grid.largest_alpha)
    above = np.clip(below + 1, 1, grid.largest_alpha)
    q_below, q_above = (swept(problem, a * grid.unit, q, grid.largest, 2) for a in (below, above))
    lower = problem.loss(below * grid.unit, q_below) <= problem.loss(above * grid.unit, q_above)
    return np.where(lower, below, above), np.where(lower[..., None], q_below, q_above)


@pytest.mark.parametrize("largest", [1, 7, 127])
@pytest.mark.parametrize(("groups", "rows", "columns"), [(1, 1, 7), (2, 9, 60), (3, 4, 8)])
def test_native_fit_follows_its_definition(groups, rows, columns, largest):
    rng = np.random.default_rng(columns)
    problem = Quadratic(covariance(rng, groups, columns), rng.normal(0, 1, (groups, rows, columns)))
    grid = Grid(largest, 2.0**-10, 255)
    alpha, q = problem.start(largest)
    found, integers = fit(problem, grid)
    wanted, wanted_integers = fitted_by_definition(problem, alpha / grid.unit, q, grid)
    np.testing.assert_array_equal(found, wanted)
    np.testing.assert_array_equal(integers, wanted_integers)
    assert problem.loss(found * grid.unit, integers).sum() < 0


@pytest.mark.parametrize("columns", [1, 4, 6])
def test_small_ternary_clusters_are_the_best_of_all(columns):
    rng = np.random.default_rng(columns)
    problem = Quadratic(covariance(rng, 2, columns), rng.normal(0, 1, (2, 9, columns)))
    grid = Grid(1, 1e-2, 255)
    every = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=columns)))
    curvature = np.einsum("tn,gnm,tm->gt", every, problem.s, every)[:, None, :]
    product = problem.b @ every.T
    safe = np.where(curvature > 0, curvature, 1.0) * grid.unit
    scale = np.clip(np.rint(np.abs(product) / safe), 1, 255) * grid.unit
    least = (scale * (scale * curvature - 2 * product)).min(axis=2)
    alpha, q = fit(problem, grid)
    np.testing.assert_allclose(problem.loss(alpha * grid.unit, q), least, rtol=1e-12)


def refined_by_definition(problem, alpha, q, grid, size):
    """One cluster after the other: its quadratic with all others fixed, fitted anew."""
    w, h = problem
    changed = 0
    for c, start in enumerate(range(0, w.shape[2], size)):
        part = slice(start, start + size)
        x = np.repeat(alpha, size, axis=2)[:, :, : w.shape[2]] * grid.unit * q
        own = Quadratic(
            h[:, part, part], (w - x) @ h[:, :, part] + x[:, :, part] @ h[:, part, part]
        )
        before = own.loss(alpha[:, :, c] * grid.unit, q[:, :, part])
        if grid.largest == 1 and own.b.shape[2] <= 6:
            found, integers = fit(own, grid)
        else:
            found, integers = fitted_by_definition(own, alpha[:, :, c], q[:, :, part], grid)
        better = own.loss(found * grid.unit, integers) < before
        alpha[:, :, c] = np.where(better, found, alpha[:, :, c])
        q[:, :, part] = np.where(better[..., None], integers, q[:, :, part])
        changed += int(better.sum())
    return changed


@pytest.mark.parametrize(("largest", "size"), [(1, 4), (1, 9), (7, 4), (7, 8), (127, 21)])
def test_refining_follows_its_definition(largest, size):
    rng = np.random.default_rng(size)
    groups, rows, columns = 2, 9, 21
    h = covariance(rng, groups, columns)
    w = rng.normal(0, 1, (groups, rows, columns))
    grid = Grid(largest, 1e-2 / largest, 255)
    clusters = -(-columns // size)
    alpha = rng.integers(1, 255, (groups, rows, clusters)).astype(float)
    q = rng.integers(-1, 2, w.shape).astype(float)
    wanted, integers = alpha.copy(), q.copy()
    for _ in range(6):
        expected = refined_by_definition((w, h), wanted, integers, grid, size)
        error = w - np.repeat(alpha, size, axis=2)[:, :, :columns] * grid.unit * q
        pull = error @ h
        changed = _core.refine_clusters(
            w, h, error, alpha, q, pull, size, 0, clusters, largest, grid.unit, 255
        )
        np.testing.assert_array_equal(alpha, wanted)
        np.testing.assert_array_equal(q, integers)
        x = np.repeat(alpha, size, axis=2)[:, :, :columns] * grid.unit * q
        np.testing.assert_array_equal(error, w - x)
        assert changed == expected


def test_more_passes_and_starts_never_raise_the_loss():
    rng = np.random.default_rng(3)
    weight = rng.normal(0, 0.1, (10, 12, 3, 3))
    gram = covariance(rng, 1, 108)
    clusters = Clusters.of(weight.shape, WeightFormat("ternary", 4))

    def loss(*effort) -> float:
        q, alpha, exponent = solve_hessian(
            weight, clusters, gram, AlphaLimits(), effort=Effort(*effort), damping=0.0
        )
        return output_error(weight, gram, clusters.weight(q, alpha, exponent))

    fed_back = loss((0.01,), 0)
    refined = loss((0.01,), 4)
    assert refined < fed_back
    assert loss((0.01, 0.1, 1.0), 4) < refined


def test_dead_inputs_and_zero_weights_are_harmless():
    rng = np.random.default_rng(4)
    gram = covariance(rng, 1, 36)
    gram[:, 9:18] = 0
    gram[:, :, 9:18] = 0
    weight = rng.normal(0, 1, (3, 4, 3, 3))
    weight[2] = 0
    found = solve(weight, WeightFormat("ternary", 2), "hessian", gram=gram)
    assert not found.values[2].any() and not found.alpha[2].any()
    still = solve(weight, WeightFormat("int4", 2), "hessian", gram=np.zeros((1, 36, 36)))
    assert np.abs(still.dequantize() - weight).max() < 0.5


def test_limits_are_kept():
    rng = np.random.default_rng(5)
    weight = rng.normal(0, 0.2, (6, 9, 3, 3))
    gram = covariance(rng, 1, 81)
    found = solve(weight, WeightFormat("int8", "all"), "hessian", gram=gram, largest_alpha=9)
    assert 4 < found.alpha.max() <= 9
    coarse = solve(
        weight, WeightFormat("int8", 4), "hessian", gram=gram, minimum_exponent=found.exponent + 1
    )
    assert coarse.exponent == found.exponent + 1
    assert output_error(weight, gram, coarse) < 1e-3


def test_a_missing_covariance_is_an_error():
    with pytest.raises(ValueError, match="gram"):
        solve(np.ones((2, 2)), WeightFormat("ternary", 1), "hessian")
