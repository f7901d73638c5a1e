"""Where two results of one network differ."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def differences(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.bool_]:
    """Which elements of two arrays of one shape differ; NaN beside NaN does not."""
    return np.asarray((a != b) & ~((a != a) & (b != b)))


def largest_difference(a: NDArray[Any], b: NDArray[Any]) -> float:
    """The largest distance between elements that differ, 0 where none does."""
    where = differences(a, b)
    return float(np.abs(a[where].astype(np.float64) - b[where]).max(initial=0.0))
