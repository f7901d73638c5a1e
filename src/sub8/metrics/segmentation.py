"""Maps of classes beside the true ones."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

IGNORED = 255  # pixels of this class count nowhere, as in PASCAL VOC and Cityscapes


def mean_intersection_over_union(
    pairs: Iterable[tuple[NDArray[np.int64], NDArray[np.int64]]],
) -> float:
    """Per cent: over all pixels of all images, the mean over the classes that are there, in the
    truth or in what was found. pairs: truth and found, of equal shape.
    """
    both = np.zeros(256, np.int64)
    either = np.zeros(256, np.int64)
    for truth, found in pairs:
        known = truth != IGNORED
        real, other = truth[known], found[known]
        hits = np.bincount(real[real == other], minlength=256)
        both += hits[:256]
        sums = np.bincount(real, minlength=256) + np.bincount(other, minlength=256)
        either += sums[:256] - hits[:256]
    there = either > 0
    return 100.0 * float((both[there] / either[there]).mean()) if there.any() else 100.0
