"""Channel statistics correction: quantised accumulators take on the float model's mean and spread per channel.

What re-estimating batch norm would do where the exported model has it folded away. The statistics are those
of the accumulators before residual and clamp, on the quantised network's own inputs.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# A factor beyond these means a channel that calibration hardly excites.
SMALLEST_FACTOR, LARGEST_FACTOR = 0.25, 4.0


def channel_means(arrays: Iterable[NDArray[np.float32]], channel_axis: int) -> NDArray[np.float64]:
    """Mean of each channel over all batches, float64 ``[O]``; channels lie on ``channel_axis`` (1 or -1)."""
    total, count = np.zeros(1), 0
    for array in arrays:
        values = _channels_first(array, channel_axis)
        total = total + values.sum(-1).astype(np.float64).sum(axis=0)
        count += values.shape[0] * values.shape[2]
    return total / count


def channel_variances(
    arrays: Iterable[NDArray[np.float32]], channel_axis: int
) -> NDArray[np.float64]:
    """Variance of each channel over all batches, float64 ``[O]``."""
    total, squares, count = np.zeros(1), np.zeros(1), 0
    for array in arrays:
        values = _channels_first(array, channel_axis)
        total = total + values.sum(-1).astype(np.float64).sum(axis=0)
        squares = squares + _energy(values).astype(np.float64).sum(axis=0)
        count += values.shape[0] * values.shape[2]
    return np.maximum(squares / count - (total / count) ** 2, 0.0)


def output_variances(
    weight: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Variance of each output channel, float64 ``[O]``, for weights ``[O, ...]`` on patches of that covariance.

    covariance: ``[groups, K, K]``; the O rows fall into as many equal parts.
    """
    groups, width = covariance.shape[:2]
    rows = weight.reshape(groups, -1, width)
    return np.einsum("gok,gok->go", rows @ covariance, rows).reshape(-1)


def spread_factor(wanted: NDArray[np.float64], reached: NDArray[np.float64]) -> NDArray[np.float64]:
    """The factor ``[O]`` that turns one variance into another; 1 for constant channels."""
    known = (wanted > 1e-12) & (reached > 1e-12)
    factor = np.sqrt(np.divide(wanted, reached, out=np.ones_like(wanted), where=known))
    return np.clip(factor, SMALLEST_FACTOR, LARGEST_FACTOR)


def _channels_first(array: NDArray[np.float32], channel_axis: int) -> NDArray[np.float32]:
    """``[B, O, positions]``."""
    if channel_axis == 1:
        return array.reshape(*array.shape[:2], -1)
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]).T)[None]


def _energy(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.matmul(values[:, :, None, :], values[:, :, :, None])[:, :, 0, 0]
