"""What quantisation loses in any metric, call by call."""

import math
from collections.abc import Sequence

import numpy as np

from sub8.metrics.find import Metric, Outputs, worth
from sub8.mixed.drop import Drop


def measure(
    metric: Metric, expected: Sequence[Outputs], got: Sequence[Outputs], best: Sequence[Outputs]
) -> Drop:
    """What is lost, call by call, beside ``best``: the float network's own results, or those of the
    most exact choice.
    """
    losses = np.array(
        [
            worth(metric, real, most) - worth(metric, real, own)
            for real, most, own in zip(expected, best, got, strict=True)
        ]
    )
    spread = float(losses.std(ddof=1)) / math.sqrt(len(losses)) if len(losses) > 1 else 0.0
    return Drop(float(losses.mean()), spread, 0.0)


def has_best(metric: Metric, expected: Sequence[Outputs]) -> bool:
    """Whether the float network's own results have a finite worth."""
    return all(math.isfinite(worth(metric, outputs, outputs)) for outputs in expected)
