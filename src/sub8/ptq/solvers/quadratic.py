"""The small problem inside the second-order solvers: one cluster, one quadratic.

For every row r minimise ``x S x' - 2 b x'`` over ``x = alpha * q``, alpha a scale and q integers in
[-L, L]^n (native, ``solver/cluster_fit.h``).
All rows of all convolution groups are solved at once: S is ``[g, n, n]``, b, q ``[g, R, n]``, alpha
``[g, R]``, counted in the grid's unit.
"""

from dataclasses import dataclass

import numpy as np

from sub8.native import _core
from sub8.ptq.solvers.clusters import Floats


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


def fit(problem: Quadratic, grid: Grid) -> tuple[Floats, Floats]:
    """Whole alphas and integers; found from ``Quadratic.start`` where they are not the best of
    all.
    """
    s, b = np.ascontiguousarray(problem.s), np.ascontiguousarray(problem.b)
    if _core.solved_exactly(grid.largest, b.shape[2]):
        alpha, q = np.ones(b.shape[:2]), np.zeros(b.shape)
    else:
        alpha, q = problem.start(grid.largest)
        alpha, q = np.ascontiguousarray(alpha / grid.unit), np.array(q, np.float64, order="C")
    _core.fit_clusters(s, b, alpha, q, grid.largest, grid.unit, grid.largest_alpha)
    return alpha, q
