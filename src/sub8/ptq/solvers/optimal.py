"""Least squares per cluster: the (alpha, q) that minimise ``||w - alpha * q||^2``."""

import numpy as np

from sub8.ptq.solvers.clusters import Clusters, Floats, nearest, squared_error

# Scales tried per cluster at 4 and 8 bits, as multiples of (largest magnitude / L). Above 1 nothing
# saturates but the grid may fall better on the weights; below, the largest weights saturate.
_MULTIPLES = np.concatenate([np.linspace(0.5, 1.0, 26), np.linspace(1.02, 1.2, 10)])
_REFITS = 3
_BLOCK_ELEMENTS = 1 << 16


def solve_optimal(weight: Floats, clusters: Clusters) -> tuple[Floats, Floats]:
    """Integers ``[O, G, n]`` and real alphas ``[O, G]`` of a weight ``[O, I, *kernel]``.

    Ternary is exact: the support is the k largest magnitudes, alpha their mean, the best k found by
    sorting. At 4 and 8 bits the best of a grid of alphas, each refitted by alternating least
    squares."""
    table = clusters.split(weight)
    if not clusters.format.multiplies:
        alpha = ternary_alpha(table)
    else:
        alpha = _searched_alpha(table, clusters.largest)
    safe = np.where(alpha > 0, alpha, 1.0)
    return nearest(table, safe, clusters.largest), alpha


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
    """In blocks of rows that stay in the processor's cache."""
    rows = max(1, _BLOCK_ELEMENTS // max(1, table[:1].size))
    blocks = range(0, max(1, len(table)), rows)
    return np.concatenate([_searched(table[start : start + rows], largest) for start in blocks])


def _searched(table: Floats, largest: int) -> Floats:
    top = np.abs(table).max(axis=-1)
    unit = np.where(top > 0, top / largest, 1.0)
    best = unit.copy()
    least = np.full(unit.shape, np.inf)
    for multiple in _MULTIPLES:
        alpha = unit * multiple
        error = squared_error(table, alpha, nearest(table, alpha, largest))
        better = error < least
        best, least = np.where(better, alpha, best), np.where(better, error, least)
    for _ in range(_REFITS):
        values = nearest(table, best, largest)
        norm = np.einsum("...n,...n->...", values, values)
        product = np.einsum("...n,...n->...", table, values)
        best = np.where(norm > 0, product / np.where(norm > 0, norm, 1.0), best)
    return np.where(top > 0, best, 0.0)


def round_alpha(
    table: Floats, alpha: Floats, exponent: int, largest_alpha: int, largest: int
) -> tuple[Floats, Floats]:
    """Whole alphas in units of ``2**exponent`` next to the real ones, and the best integers for
    them.

    Of the two neighbours within 1..largest_alpha the one with the smaller squared error after
    reassignment."""
    unit = np.ldexp(1.0, exponent)
    below = np.clip(np.floor(alpha / unit), 1, largest_alpha)
    above = np.clip(below + 1, 1, largest_alpha)
    q_below, q_above = (nearest(table, a * unit, largest) for a in (below, above))
    smaller = squared_error(table, below * unit, q_below) <= squared_error(
        table, above * unit, q_above
    )
    return np.where(smaller[..., None], q_below, q_above), np.where(smaller, below, above)
