"""The solver of arXiv 1701.08978 (design section 1), kept as the baseline.

Its ternary step is as described there. For 4 and 8 bits the paper names no solver; the customary
one is
used: alpha = largest magnitude / L, round to nearest.
"""

import numpy as np

from sub8.ptq.solvers.clusters import Clusters, Floats, squared_error

# A weight equal to its threshold must pass despite rounding errors of the square root.
_EQUAL = 1.0 - 1e-12


def solve_paper(weight: Floats, clusters: Clusters) -> tuple[Floats, Floats]:
    """Integers ``[O, G, n]`` and real alphas ``[O, G]`` of a weight ``[O, I, *kernel]``."""
    table = clusters.split(weight)
    if not clusters.format.multiplies:
        alpha = _ternary_alpha(table, clusters)
        return np.where(np.abs(table) >= alpha[..., None] * _EQUAL, np.sign(table), 0.0), alpha
    alpha = np.abs(table).max(axis=2) / clusters.largest
    safe = np.where(alpha > 0, alpha, 1.0)
    return np.clip(np.rint(table / safe[..., None]), -clusters.largest, clusters.largest), alpha


def _ternary_alpha(table: Floats, clusters: Clusters) -> Floats:
    """Step 2: of the N candidate alphas of each cluster, the one with the least squared error."""
    outputs, count, _ = table.shape
    kernels = table.reshape(outputs, count, clusters.channels, -1)
    descending = -np.sort(-_kernel_alpha(kernels), axis=2)
    number = np.arange(1, clusters.channels + 1)
    candidates = np.sqrt(np.cumsum(descending**2, axis=2) / number)
    best = np.zeros((outputs, count))
    least = np.full((outputs, count), np.inf)
    for alpha in np.moveaxis(candidates, 2, 0):
        values = np.where(np.abs(table) >= alpha[..., None] * _EQUAL, np.sign(table), 0.0)
        error = squared_error(table, alpha, values)
        better = error < least
        best, least = np.where(better, alpha, best), np.where(better, error, least)
    return best


def _kernel_alpha(kernels: Floats) -> Floats:
    """Step 1: ``[..., m]`` kernels to their alphas: root mean square of the k largest, the best
    k.
    """
    magnitude = -np.sort(-np.abs(kernels), axis=-1)
    number = np.arange(1, kernels.shape[-1] + 1)
    alpha = np.sqrt(np.cumsum(magnitude**2, axis=-1) / number)
    # ||w||^2 is the same for every k, so the rest of the squared error decides.
    error = number * alpha**2 - 2 * alpha * np.cumsum(magnitude, axis=-1)
    best = np.argmin(error, axis=-1)[..., None]
    return np.take_along_axis(alpha, best, axis=-1)[..., 0]
