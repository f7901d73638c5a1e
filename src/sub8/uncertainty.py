"""How much a figure from so many images can be trusted: the margin of a share, and whether two
models differ on the same images.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

# Two-sided 95 % of a normal distribution.
CONFIDENCE = 1.96
# Below so many images an accuracy is told with a warning: its margin may pass 7 points.
FEW_IMAGES = 200


def margin(part: float, count: int) -> float:
    """Per cent points by which a share of ``part`` (0..1) of ``count`` may be off, with 95 %
    confidence: the larger side of Wilson's interval, which holds for few images and for 0 and 1.

    >>> round(margin(0.9, 1000), 1), round(margin(1.0, 20), 1)
    (2.0, 16.1)
    """
    square = CONFIDENCE**2
    centre = (part + square / (2 * count)) / (1 + square / count)
    spread = math.sqrt(part * (1 - part) / count + square / (4 * count**2))
    half = CONFIDENCE * spread / (1 + square / count)
    return 100.0 * max(centre + half - part, part - (centre - half))


def grouped_margin(shares: Sequence[float]) -> float:
    """The margin in per cent points of the mean of shares (0..1) of groups, such as the crops of a
    photograph, whose members resemble each other. No less than that of as many single images.
    """
    mean, count = float(np.mean(shares)), len(shares)
    if count < 2:
        return 100.0
    own = 100.0 * CONFIDENCE * float(np.std(shares, ddof=1)) / math.sqrt(count)
    return max(own, margin(mean, count)) if own == 0.0 else own


def paired_margin(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> float:
    """The margin in per cent points, 95 %, of the difference of two models' accuracies on the same
    images; before, after: which images each has right, ``[images]``.
    """
    lost, won = int((before & ~after).sum()), int((after & ~before).sum())
    count = len(before)
    # One more of each (Agresti and Min, 2005): no margin of 0 where nothing differs.
    lost, won, count = lost + 1, won + 1, count + 2
    spread = math.sqrt(lost + won - (lost - won) ** 2 / count) / count
    return 100.0 * CONFIDENCE * spread


def paired_probability(before: NDArray[np.bool_], after: NDArray[np.bool_]) -> float:
    """The probability of a difference at least as large if the two models were equally good
    (McNemar's exact test, two-sided).

    >>> right = np.arange(20) < 16
    >>> paired_probability(right, right), round(paired_probability(right, np.arange(20) < 8), 4)
    (1.0, 0.0078)
    """
    lost, won = int((before & ~after).sum()), int((after & ~before).sum())
    if lost == won:
        return 1.0
    total = lost + won
    tail = sum(math.comb(total, k) for k in range(min(lost, won) + 1))
    return min(1.0, 2.0 * (tail / (1 << total)))
