"""One clustered weight for a layer: real weights to integers and 8-bit cluster scales.

All solvers answer with whole alphas in 1..largest_alpha (0 for empty clusters) in units of one
power of two per layer. "optimal" and "hessian" fit the integers to those rounded alphas.
"""

import math

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.cluster import ClusteredWeight
from sub8.ptq.solvers.clusters import AlphaLimits, Clusters
from sub8.ptq.solvers.hessian import Effort, solve_hessian
from sub8.ptq.solvers.optimal import optimal_alpha, round_alpha
from sub8.ptq.solvers.paper import solve_paper
from sub8.recipe import Method, WeightFormat


def solve(
    weight: NDArray[np.floating],
    fmt: WeightFormat,
    method: Method = "optimal",
    *,
    gram: NDArray[np.float64] | None = None,
    largest_alpha: int | None = None,
    minimum_exponent: int | None = None,
    effort: Effort | None = None,
) -> ClusteredWeight:
    """Quantise one layer's weight ``[O, I, *kernel]`` (I: input channels of one convolution group).

    method: "paper": arXiv 1701.08978's own solver; "optimal": least squared weight error per
    cluster; "hessian": least squared error of the layer's outputs, which needs ``gram``, the
    covariance of its input patches, ``[groups, I*prod(kernel), I*prod(kernel)]``.
    largest_alpha, minimum_exponent: limits of the scales, so that the caller can bound
    accumulators; the exponent is the finest one that they and the largest alpha allow. Default: the
    integers' own (``IntegerFormat.largest_alpha``), and none. effort: of "hessian", default its
    own. Raises ValueError for an unknown method, a missing gram or limits outside 1..255.
    """
    clusters = Clusters.of(weight.shape, fmt)
    if largest_alpha is None:
        largest_alpha = fmt.integers.largest_alpha
    limits = AlphaLimits(largest_alpha)
    if minimum_exponent is not None:
        limits = AlphaLimits(largest_alpha, minimum_exponent)
    real = np.asarray(weight, np.float64)
    values: NDArray
    if method == "paper":
        values, alpha = solve_paper(real, clusters)
        # The paper rounds alpha to 8 bits and leaves the integers as they are.
        exponent = limits.finest_exponent(alpha)
        whole = np.clip(np.rint(alpha / math.ldexp(1.0, exponent)), 1, limits.largest)
    elif method == "optimal":
        table = clusters.split(real)
        alpha = optimal_alpha(table, clusters)
        exponent = limits.finest_exponent(alpha)
        values, whole = round_alpha(table, alpha, exponent, limits.largest, clusters.largest)
    elif method == "hessian":
        if gram is None:
            raise ValueError("method 'hessian' needs the gram matrix of the layer's inputs")
        values, whole, exponent = solve_hessian(real, clusters, gram, limits, effort=effort)
    else:
        raise ValueError(f"method {method!r} unknown")
    return clusters.weight(values, whole, exponent)
