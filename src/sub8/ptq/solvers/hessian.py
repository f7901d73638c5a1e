"""Second-order solver: least squared error of a layer's *outputs* on calibration data.

With H the covariance of the layer's quantised inputs the loss of one output channel is
``(w - x) H (w - x)'`` with x = alpha_c * q_c on cluster c. Two stages, both cluster by cluster:

1. Error feedback, in the manner of OBQ (arXiv 2208.11580) and GPTQ (arXiv 2210.17323): clusters are
   fixed one after another; the loss of a cluster is what remains when all clusters not yet fixed
   adapt freely to its error. With ``H = L L'`` and columns taken from the last to the first that is
   the nearest-plane rule: no inverse is needed, the cluster's quadratic is ``L_bb L_bb'`` and its
   target the weight shifted by the errors made so far.
2. Passes of block coordinate descent over clusters on the full loss, all other clusters fixed.

Scales are fitted in the loop and rounded to 8 bits there, so that later clusters make up for the
rounding. Which local minimum stage 2 ends in depends on how far stage 1 trusts small eigenvalues of
H, so both run for several dampings and every output channel keeps its best result.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sub8.native import _core
from sub8.ptq.solvers.clusters import AlphaLimits, Clusters, Floats
from sub8.ptq.solvers.optimal import optimal_alpha
from sub8.ptq.solvers.quadratic import Grid, Quadratic, fit

# Share of H's mean diagonal added to it in the loss that is minimised.
DAMPING = 0.003
# Columns of H that are multiplied by all rows' errors at once.
STRETCH = 96


@dataclass(frozen=True)
class Effort:
    """starts: shares of H's mean diagonal added to it in stage 1, one run each.
    passes: at most so many of stage 2 after each."""

    starts: tuple[float, ...]
    passes: int


# The coarser the integers, the more local minima there are and the further they lie apart.
EFFORT_BY_BITS = {2: Effort((0.01, 0.1, 1.0), 6), 4: Effort((0.1,), 4), 8: Effort((0.1,), 1)}


def effort_for(bits: int) -> Effort:
    """What integers of so many bits are worth."""
    return EFFORT_BY_BITS[min(known for known in EFFORT_BY_BITS if known >= bits)]


def solve_hessian(
    weight: Floats,
    clusters: Clusters,
    gram: NDArray[np.float64],
    limits: AlphaLimits,
    *,
    effort: Effort | None = None,
    damping: float = DAMPING,
) -> tuple[Floats, Floats, int]:
    """Integers ``[O, G, n]``, whole alphas ``[O, G]`` and the exponent, for weights ``[O, I,
    *kernel]``.

    gram: ``[g, K, K]`` for g convolution groups, K = I * prod(kernel); the O rows fall into g equal
    parts. effort: default ``effort_for`` the clusters' bits. damping: of the loss.
    """
    effort = effort or effort_for(clusters.format.bits)
    groups, columns = gram.shape[:2]
    rows = weight.reshape(groups, -1, columns)
    exponent = limits.finest_exponent(optimal_alpha(clusters.split(weight), clusters))
    grid = Grid(clusters.largest, float(np.ldexp(1.0, exponent)), limits.largest)
    loss_matrix = damped(gram, damping)
    best: _Solution | None = None
    for start in effort.starts:
        solution = _Solution(rows, clusters, grid)
        solution.feed_back(damped(gram, start))
        for _ in range(effort.passes):
            if not solution.refine(loss_matrix):
                break
        if best is None:
            best = solution
        else:
            best.take_better_rows(solution, loss_matrix)
    assert best is not None, "at least one start"
    q = np.zeros((len(weight), clusters.count * clusters.size))
    q[:, :columns] = best.q.reshape(len(weight), columns)
    shape = (len(weight), clusters.count)
    return q.reshape(*shape, clusters.size), best.alpha.reshape(shape), exponent


def damped(gram: NDArray[np.float64], damping: float) -> Floats:
    """H plus a share of its mean diagonal (plus that share, where H is all zero)."""
    mean = np.einsum("gkk->g", gram) / gram.shape[1]
    diagonal = damping * np.where(mean > 0, mean, 1.0)
    return gram + diagonal[:, None, None] * np.eye(gram.shape[1])


class _Solution:
    """The integers ``[g, R, K]`` and whole alphas ``[g, R, G]`` found so far for weights ``[g, R,
    K]``.
    """

    def __init__(self, w: Floats, clusters: Clusters, grid: Grid):
        self.w, self.grid = np.ascontiguousarray(w, np.float64), grid
        self.size = size = min(clusters.size, clusters.columns)
        columns = clusters.columns
        self.parts = [slice(c * size, min((c + 1) * size, columns)) for c in range(clusters.count)]
        self.q = np.zeros(w.shape)
        self.alpha = np.ones((*w.shape[:2], clusters.count))
        # Products with H or its factor are taken for a stretch of clusters at once; inside it they
        # are kept current.
        self.stretch = max(1, STRETCH // size)

    def feed_back(self, h: Floats) -> None:
        """Stage 1, the clusters with the most energy first."""
        diagonal = np.einsum("gkk->k", h)
        order = np.argsort([diagonal[part].mean() for part in self.parts], kind="stable")
        columns = np.concatenate(
            [np.arange(self.parts[c].start, self.parts[c].stop) for c in order]
        )
        factor = np.linalg.cholesky(h[:, columns[:, None], columns])
        error = np.zeros(self.w.shape)  # w - x of the clusters fixed so far, in the permuted order
        stop = len(columns)
        for first in range(0, len(order), self.stretch):
            stretch = order[::-1][first : first + self.stretch]
            end = stop
            begin = end - sum(self.parts[c].stop - self.parts[c].start for c in stretch)
            outside = error[:, :, end:] @ factor[:, end:, begin:end]
            for c in stretch:
                part = self.parts[c]
                start = stop - (part.stop - part.start)
                block = factor[:, start:stop, start:stop]
                square = block @ block.transpose(0, 2, 1)
                pushed = outside[:, :, start - begin : stop - begin]
                pushed = pushed + error[:, :, stop:end] @ factor[:, stop:end, start:stop]
                linear = self.w[:, :, part] @ square + pushed @ block.transpose(0, 2, 1)
                self.alpha[:, :, c], self.q[:, :, part] = fit(Quadratic(square, linear), self.grid)
                error[:, :, start:stop] = self.w[:, :, part] - self._x(c)
                stop = start

    def refine(self, h: Floats) -> bool:
        """Stage 2, one pass; whether anything changed."""
        changed = 0
        error = self.error()
        for first in range(0, len(self.parts), self.stretch):
            last = min(first + self.stretch, len(self.parts))
            begin, end = self.parts[first].start, self.parts[last - 1].stop
            changed += _core.refine_clusters(
                self.w,
                h,
                error,
                self.alpha,
                self.q,
                np.ascontiguousarray(error @ h[:, :, begin:end]),
                self.size,
                first,
                last,
                self.grid.largest,
                self.grid.unit,
                self.grid.largest_alpha,
            )
        return changed > 0

    def take_better_rows(self, other: "_Solution", h: Floats) -> None:
        """Replace the rows that the other solution solves with a smaller loss."""
        better = other.loss(h) < self.loss(h)
        self.q = np.where(better[..., None], other.q, self.q)
        self.alpha = np.where(better[..., None], other.alpha, self.alpha)

    def loss(self, h: Floats) -> Floats:
        """``(w - x) H (w - x)'`` of every row, ``[g, R]``."""
        error = self.error()
        return np.einsum("grk,grk->gr", error @ h, error)

    def error(self) -> Floats:
        """``w - x``, ``[g, R, K]``."""
        x = np.concatenate([self._x(c) for c in range(len(self.parts))], axis=2)
        return self.w - x

    def _x(self, c: int) -> Floats:
        return self.alpha[:, :, c, None] * self.grid.unit * self.q[:, :, self.parts[c]]
