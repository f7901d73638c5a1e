"""Least squares per cluster: the (alpha, q) that minimise ``||w - alpha * q||^2``."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from sub8.ptq.solvers.clusters import Clusters, Floats, nearest, squared_error

# Scales tried per cluster at 4 and 8 bits, as multiples of (largest magnitude / L). Above 1 nothing
# saturates but the grid may fall better on the weights; below, the largest weights saturate.
_MULTIPLES = np.concatenate([np.linspace(0.5, 1.0, 26), np.linspace(1.02, 1.2, 10)])
_REFITS = 3
_BLOCK_ELEMENTS = 1 << 16


def optimal_alpha(table: Floats, clusters: Clusters) -> Floats:
    """Real alphas ``[O, G]`` of clusters ``[O, G, n]``, 0 for empty ones.

    Ternary is exact: the support is the k largest magnitudes, alpha their mean, the best k found by
    sorting. At 4 and 8 bits the best of a grid of alphas, each refitted by alternating least
    squares."""
    alpha = np.empty(table.shape[:2])
    for rows in _blocks(table):
        if clusters.format.multiplies:
            alpha[rows] = _searched_alpha(table[rows], clusters.largest)
        else:
            alpha[rows] = ternary_alpha(table[rows])
    return alpha


def _blocks(table: Floats) -> Iterator[slice]:
    """Of rows that stay in the processor's cache."""
    rows = max(1, _BLOCK_ELEMENTS // max(1, table[:1].size))
    return (slice(start, start + rows) for start in range(0, len(table), rows))


def ternary_alpha(table: Floats) -> Floats:
    """The exact optimum of ``[..., n]`` clusters: mean of the k largest magnitudes, the k with the
    least error.
    """
    magnitude = -np.sort(-np.abs(table), axis=-1)
    total = np.cumsum(magnitude, axis=-1)
    number = np.arange(1, table.shape[-1] + 1)
    # At the mean the error is ||w||^2 - total^2 / k.
    best = np.argmax(total**2 / number, axis=-1)
    return np.take_along_axis(total, best[..., None], axis=-1)[..., 0] / (best + 1)


def _searched_alpha(table: Floats, largest: int) -> Floats:
    top = np.abs(table).max(axis=-1)
    unit = np.where(top > 0, top / largest, 1.0)
    best = unit.copy()
    least = np.full(unit.shape, np.inf)
    values, difference = np.empty((2, *table.shape))
    for multiple in _MULTIPLES:
        alpha = unit * multiple
        nearest(table, alpha, largest, out=values)
        error = squared_error(table, alpha, values, out=difference)
        better = error < least
        best, least = np.where(better, alpha, best), np.where(better, error, least)
    for _ in range(_REFITS):
        nearest(table, best, largest, out=values)
        norm = np.einsum("...n,...n->...", values, values)
        product = np.einsum("...n,...n->...", table, values)
        best = np.where(norm > 0, product / np.where(norm > 0, norm, 1.0), best)
    return np.where(top > 0, best, 0.0)


def round_alpha(
    table: Floats, alpha: Floats, exponent: int, largest_alpha: int, largest: int
) -> tuple[NDArray[np.int8], Floats]:
    """Whole alphas ``[O, G]`` in units of ``2**exponent`` next to the real ones, and the best
    integers ``[O, G, n]`` for them.

    Of the two neighbours within 1..largest_alpha the one with the smaller squared error after
    reassignment."""
    unit = np.ldexp(1.0, exponent)
    below = np.clip(np.floor(alpha / unit), 1, largest_alpha)
    above = np.clip(below + 1, 1, largest_alpha)
    values = np.empty(table.shape, np.int8)
    for rows in _blocks(table):
        some = table[rows]
        scales = below[rows] * unit, above[rows] * unit
        lower, upper = (nearest(some, scale, largest) for scale in scales)
        smaller = squared_error(some, scales[0], lower) <= squared_error(some, scales[1], upper)
        values[rows] = np.where(smaller[..., None], lower, upper)
        above[rows] = np.where(smaller, below[rows], above[rows])
    return values, above
