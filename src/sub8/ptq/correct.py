"""Channel statistics correction: quantised accumulators take on the float model's mean and spread per channel.

What re-estimating batch norm would do where the exported model has it folded away (design, section 6). The
statistics are those of the accumulators before residual and clamp, on the quantised network's own inputs.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# A factor beyond these means a channel that calibration hardly excites.
SMALLEST_FACTOR, LARGEST_FACTOR = 0.25, 4.0


@dataclass(frozen=True)
class Moments:
    """First and second moments of quantised accumulators q and their targets t, float64 ``[O]`` each."""

    mean: NDArray[np.float64]
    variance: NDArray[np.float64]
    target_mean: NDArray[np.float64]
    target_variance: NDArray[np.float64]
    covariance: NDArray[np.float64]

    def spread_factor(self) -> NDArray[np.float64]:
        """The factor that gives q the targets' standard deviation; 1 for constant channels."""
        return _safe(np.sqrt(_ratio(self.target_variance, self.variance)))

    def regression_factor(self) -> NDArray[np.float64]:
        """The factor that brings q closest to the targets in least squares; 1 for constant channels."""
        return _safe(_ratio(self.covariance, self.variance))


def moments(
    accumulators: Sequence[NDArray[np.float32]],
    targets: Iterable[NDArray[np.float32]],
    channel_axis: int,
) -> Moments:
    """Moments over all batches; channels lie on ``channel_axis`` (1 or -1) of every array."""
    sums = np.zeros(0)
    count = 0
    for accumulator, target in zip(accumulators, targets, strict=True):
        q, t = _channels_first(accumulator, channel_axis), _channels_first(target, channel_axis)
        parts = [q.sum(-1), t.sum(-1), _dot(q, q), _dot(t, t), _dot(q, t)]
        batch = np.stack([part.astype(np.float64).sum(axis=0) for part in parts])
        sums = batch if sums.size == 0 else sums + batch
        count += q.shape[0] * q.shape[2]
    mean, target_mean, squares, target_squares, products = sums / count
    return Moments(
        mean,
        np.maximum(squares - mean**2, 0.0),
        target_mean,
        np.maximum(target_squares - target_mean**2, 0.0),
        products - mean * target_mean,
    )


def channel_means(arrays: Iterable[NDArray[np.float32]], channel_axis: int) -> NDArray[np.float64]:
    """Mean of each channel over all batches, float64 ``[O]``."""
    total, count = np.zeros(1), 0
    for array in arrays:
        values = _channels_first(array, channel_axis)
        total = total + values.sum(-1).astype(np.float64).sum(axis=0)
        count += values.shape[0] * values.shape[2]
    return total / count


def _channels_first(array: NDArray[np.float32], channel_axis: int) -> NDArray[np.float32]:
    """``[B, O, positions]``."""
    if channel_axis == 1:
        return array.reshape(*array.shape[:2], -1)
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]).T)[None]


def _dot(a: NDArray[np.float32], b: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.matmul(a[:, :, None, :], b[:, :, :, None])[:, :, 0, 0]


def _ratio(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(a, b, out=np.ones_like(a), where=b > 1e-12)


def _safe(factor: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.clip(np.where(factor > 0, factor, 1.0), SMALLEST_FACTOR, LARGEST_FACTOR)
