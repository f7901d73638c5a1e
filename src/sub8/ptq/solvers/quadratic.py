"""The small problem inside the second-order solvers: one cluster, one quadratic.

For every row r minimise ``x S x' - 2 b x'`` over ``x = alpha * q``, alpha a scale and q integers in [-L, L]^n.
All rows of all convolution groups are solved at once: S is ``[g, n, n]``, b, q ``[g, R, n]``, alpha ``[g, R]``.
"""

import itertools
from dataclasses import dataclass
from functools import cache

import numpy as np

from sub8.ptq.solvers.clusters import Floats

_ROUNDS = 4
_BLOCK = 48
_EXACT_SIZE = 6


@dataclass(frozen=True)
class Quadratic:
    """S ``[g, n, n]`` (positive definite), b ``[g, R, n]``."""

    s: Floats
    b: Floats

    def loss(self, alpha: Floats, q: Floats) -> Floats:
        """``[g, R]``: the quadratic at ``alpha * q``."""
        curvature, product = self._terms(q)
        return alpha * (alpha * curvature - 2 * product)

    def best_alpha(self, q: Floats) -> Floats:
        """The real scale that fits integers q best, 0 where none is positive."""
        curvature, product = self._terms(q)
        return np.where(
            curvature > 0, np.maximum(product, 0) / np.where(curvature > 0, curvature, 1), 0.0
        )

    def _terms(self, q: Floats) -> tuple[Floats, Floats]:
        return np.einsum("grn,grn->gr", q @ self.s, q), np.einsum("grn,grn->gr", q, self.b)

    def descend(self, alpha: Floats, q: Floats, largest: int, sweeps: int) -> Floats:
        """Integers after coordinate descent at fixed scales (> 0); never a larger loss.

        Columns go in blocks: within one the gradient is kept current, the other columns get the
        block's steps in one matrix product.
        """
        q = q.copy()
        gradient = self.b - alpha[..., None] * (q @ self.s)
        gain = 1 / (alpha[..., None] * np.einsum("gnn->gn", self.s)[:, None, :])
        size = q.shape[2]
        for _ in range(sweeps):
            before = q.copy()
            for start in range(0, size, _BLOCK):
                block = slice(start, min(start + _BLOCK, size))
                step = self._descend_block(block, alpha, q, gradient, gain, largest)
                if step is not None:
                    gradient -= step @ self.s[:, block, :]
            if np.array_equal(before, q):
                break
        return q

    def _descend_block(
        self, block: slice, alpha: Floats, q: Floats, gradient: Floats, gain: Floats, largest: int
    ) -> Floats | None:
        """One sweep over a block of columns of q, in place; the change of ``alpha * q``, None if there is none."""
        # Columns lead here, so that each step works on contiguous rows.
        s = self.s[:, block, block]
        old = np.ascontiguousarray(q[:, :, block].transpose(0, 2, 1))
        new = old.copy()
        local = np.ascontiguousarray(gradient[:, :, block].transpose(0, 2, 1))
        factor = np.ascontiguousarray(gain[:, :, block].transpose(0, 2, 1))
        for j in range(block.stop - block.start):
            value = local[:, j] * factor[:, j]
            value += old[:, j]
            np.rint(value, out=value)
            np.minimum(value, largest, out=value)
            np.maximum(value, -largest, out=value)
            new[:, j] = value
            value -= old[:, j]
            if value.any():
                value *= alpha
                local[:, j + 1 :] -= s[:, j, j + 1 :, None] * value[:, None, :]
        if np.array_equal(old, new):
            return None
        q[:, :, block] = new.transpose(0, 2, 1)
        return alpha[..., None] * (new - old).transpose(0, 2, 1)

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


def fit(
    problem: Quadratic, alpha: Floats, q: Floats, largest: int, unit: float, largest_alpha: int
) -> tuple[Floats, Floats]:
    """Whole alphas ``[g, R]`` (in ``unit``, at least 1) and integers ``[g, R, n]``.

    Small ternary clusters are solved exactly, all others from the real alphas and q given, by descent,
    refitted scales, rounded scales, descent.
    """
    if largest == 1 and q.shape[2] <= _EXACT_SIZE:
        return _fit_exactly(problem, unit, largest_alpha)
    alpha = np.maximum(alpha, 0.5 * unit)
    for _ in range(_ROUNDS):
        q = problem.descend(alpha, q, largest, sweeps=1)
        refitted = problem.best_alpha(q)
        alpha = np.where(refitted > 0, refitted, alpha)
    below = np.clip(np.floor(alpha / unit), 1, largest_alpha)
    above = np.clip(below + 1, 1, largest_alpha)
    q_below = problem.descend(below * unit, q, largest, sweeps=2)
    q_above = problem.descend(above * unit, q, largest, sweeps=2)
    smaller = problem.loss(below * unit, q_below) <= problem.loss(above * unit, q_above)
    return np.where(smaller, below, above), np.where(smaller[..., None], q_below, q_above)


def _fit_exactly(problem: Quadratic, unit: float, largest_alpha: int) -> tuple[Floats, Floats]:
    """The best of all ternary vectors, each with its best whole alpha."""
    candidates = _half_of_ternary(problem.b.shape[2])
    curvature = np.einsum("tn,gnm,tm->gt", candidates, problem.s, candidates)[:, None, :]
    product = problem.b @ candidates.T
    magnitude = np.abs(product)
    alpha = np.clip(np.rint(magnitude / (curvature * unit)), 1, largest_alpha)
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
