"""The small problem inside the second-order solvers: one cluster, one quadratic.

For every row r minimise ``x S x' - 2 b x'`` over ``x = alpha * q``, alpha a scale and q integers in
[-L, L]^n.
All rows of all convolution groups are solved at once: S is ``[g, n, n]``, b, q ``[g, R, n]``, alpha
``[g, R]``, counted in the grid's unit. Small ternary clusters are solved exactly; all others from a
given start by descent, refitted scales, rounded scales, descent (native, ``solver/cluster_fit.h``).
"""

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np

from sub8.native import _core
from sub8.ptq.solvers.clusters import Floats

_EXACT_SIZE = 6


@dataclass(frozen=True)
class Grid:
    """What a cluster may become: integers up to ``largest``, scales of 1 to ``largest_alpha`` times
    ``unit``.
    """

    largest: int
    unit: float
    largest_alpha: int


@dataclass(frozen=True)
class Quadratic:
    """S ``[g, n, n]`` (positive definite), b ``[g, R, n]``."""

    s: Floats
    b: Floats

    def loss(self, alpha: Floats, q: Floats) -> Floats:
        """``[g, R]``: the quadratic at ``alpha * q``."""
        curvature = np.einsum("grn,grn->gr", q @ self.s, q)
        return alpha * (alpha * curvature - 2 * np.einsum("grn,grn->gr", q, self.b))

    def start(self, largest: int) -> tuple[Floats, Floats]:
        """A first (alpha, q) next to the unconstrained optimum, as if S were diagonal."""
        solved = np.asarray(np.linalg.solve(self.s, self.b.transpose(0, 2, 1)), np.float64)
        target = solved.transpose(0, 2, 1)
        weight = np.einsum("gnn->gn", self.s)[:, None, :]
        if largest > 1:
            return self._start_wide(target, weight, largest)
        magnitude = np.abs(target)
        order = np.argsort(-magnitude, axis=2)
        weights = np.take_along_axis(np.broadcast_to(weight, target.shape), order, axis=2)
        total = np.cumsum(weights * np.take_along_axis(magnitude, order, axis=2), axis=2)
        mass = np.cumsum(weights, axis=2)
        best = np.argmax(total**2 / mass, axis=2)[..., None]
        alpha = (np.take_along_axis(total, best, 2) / np.take_along_axis(mass, best, 2))[..., 0]
        return alpha, _nearest(target, alpha, largest)

    @staticmethod
    def _start_wide(target: Floats, weight: Floats, largest: int) -> tuple[Floats, Floats]:
        top = np.abs(target).max(axis=2)
        unit = np.where(top > 0, top / largest, 1.0)
        best, least = unit, np.full(unit.shape, np.inf)
        for multiple in np.linspace(0.5, 1.15, 14):
            alpha = unit * multiple
            error = (
                weight * (target - alpha[..., None] * _nearest(target, alpha, largest)) ** 2
            ).sum(2)
            better = error < least
            best, least = np.where(better, alpha, best), np.where(better, error, least)
        return np.where(top > 0, best, 0.0), _nearest(target, best, largest)


def _nearest(target: Floats, alpha: Floats, largest: int) -> Floats:
    safe = np.where(alpha > 0, alpha, 1.0)
    return np.clip(np.rint(target / safe[..., None]), -largest, largest)


def fit(problem: Quadratic, start: tuple[Floats, Floats], grid: Grid) -> tuple[Floats, Floats]:
    """Whole alphas and integers, found from a real start."""
    if _solved_exactly(problem, grid):
        return _fit_exactly(problem, grid)
    alpha, q = (np.array(part, np.float64, order="C") for part in start)
    _descend(problem, alpha, q, grid, keep=False)
    return alpha, q


def improve(
    problem: Quadratic, alpha: Floats, q: Floats, grid: Grid
) -> tuple[Floats, Floats, bool]:
    """Whole alphas and integers, new ones in the rows whose loss they make smaller; whether there
    is such a row.
    """
    # Rounding the refitted alpha may undo what the descent won, so losses are compared at the end.
    if _solved_exactly(problem, grid):
        found, integers = _fit_exactly(problem, grid)
        after = problem.loss(found * grid.unit, integers)
        better = after < problem.loss(alpha * grid.unit, q)
        return (
            np.where(better, found, alpha),
            np.where(better[..., None], integers, q),
            bool(better.any()),
        )
    alpha, q = alpha.copy(), q.copy()
    return alpha, q, _descend(problem, alpha, q, grid, keep=True) > 0


def _descend(problem: Quadratic, alpha: Floats, q: Floats, grid: Grid, *, keep: bool) -> int:
    return _core.fit_clusters(
        np.ascontiguousarray(problem.s),
        np.ascontiguousarray(problem.b),
        alpha,
        q,
        grid.largest,
        grid.unit,
        grid.largest_alpha,
        keep,
    )


def _solved_exactly(problem: Quadratic, grid: Grid) -> bool:
    return grid.largest == 1 and problem.b.shape[2] <= _EXACT_SIZE


def _fit_exactly(problem: Quadratic, grid: Grid) -> tuple[Floats, Floats]:
    """The best of all ternary vectors, each with its best whole alpha."""
    unit = grid.unit
    candidates = _half_of_ternary(problem.b.shape[2])
    curvature = np.einsum("tn,gnm,tm->gt", candidates, problem.s, candidates)[:, None, :]
    product = problem.b @ candidates.T
    magnitude = np.abs(product)
    alpha = np.clip(np.rint(magnitude / (curvature * unit)), 1, grid.largest_alpha)
    loss = alpha * unit * (alpha * unit * curvature - 2 * magnitude)
    best = np.argmin(loss, axis=2)[..., None]
    sign = np.where(np.take_along_axis(product, best, axis=2) < 0, -1.0, 1.0)
    # Where even the best loses against zero, the cluster stays empty.
    sign = np.where(np.take_along_axis(loss, best, axis=2) < 0, sign, 0.0)
    return np.take_along_axis(alpha, best, axis=2)[..., 0], sign * candidates[best[..., 0]]


@cache
def _half_of_ternary(n: int) -> Floats:
    """All vectors of {-1, 0, 1}^n but 0, one of each pair of opposites, ``[(3**n - 1) / 2, n]``."""
    every = np.array(list(itertools.product((-1.0, 0.0, 1.0), repeat=n)))
    return every[len(every) // 2 + 1 :]
