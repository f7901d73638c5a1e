"""Channel statistics correction: quantised accumulators take on the float model's mean and spread
per channel.

What re-estimating batch norm would do where the exported model has it folded away. The statistics
are those of the accumulators before residual and clamp, on the quantised network's own inputs.
"""

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

# A factor beyond these means a channel that calibration hardly excites.
SMALLEST_FACTOR, LARGEST_FACTOR = 0.25, 4.0
# Largest differences whose squares float32 can sum.
_SMALLEST_SQUARED, _LARGEST_SQUARED = 1e-15, 1e15
# How many times a channel's energy may be that of what varies in it, and the least energy of an
# element.
_DROWNED, _SMALLEST_ENERGY = 1e3, 1e-30
# A variance below this share of the squared mean is that of float32's rounding.
_ROUNDING = 2e-15


class ChannelMoments:
    """Mean and variance of each channel of streamed arrays; channels lie on ``channel_axis`` (1 or
    -1).

    Where a batch's values are large and nearly constant, or leave float32 when squared, squares are
    taken of differences from the batch's mean: what varies would drown otherwise.
    """

    def __init__(self, channel_axis: int):
        self._axis = channel_axis
        self._count = 0
        self._total: NDArray[np.float64] = np.zeros(1)
        self._energy: NDArray[np.float64] | None = np.zeros(1)  # None where a batch was centred
        self._squares: NDArray[np.float64] = np.zeros(1)  # of differences from the mean so far

    def add(self, array: NDArray[np.float32]) -> None:
        values = _channels_first(array, self._axis)
        count = values.shape[0] * values.shape[2]
        if count == 0:
            return
        total = _sums(values)
        mean = total / count
        with np.errstate(over="ignore", invalid="ignore"):
            energy = _energy(values).astype(np.float64).sum(axis=0)
            squares = energy - mean**2 * count
            plain = np.all(squares * _DROWNED >= energy) and energy.min() > _SMALLEST_ENERGY * count
        if not plain or not np.isfinite(energy).all():
            squares = self._centred(values, mean, count)
            self._energy = None
        elif self._energy is not None:
            self._energy = self._energy + energy
        if self._count:
            apart = mean - self._total / self._count
            squares = squares + apart**2 * (self._count * count / (self._count + count))
        self._count += count
        self._total = self._total + total
        self._squares = self._squares + squares

    @staticmethod
    def _centred(
        values: NDArray[np.float32], mean: NDArray[np.float64], count: int
    ) -> NDArray[np.float64]:
        """Sums of squared differences from the mean, ``[O]``."""
        centred: NDArray[np.floating] = values - mean.astype(np.float32)[:, None]
        largest = float(np.abs(centred).max(initial=0.0))
        if not _SMALLEST_SQUARED < largest < _LARGEST_SQUARED:
            centred = centred.astype(np.float64)
        squares = _energy(centred).astype(np.float64).sum(axis=0)
        return squares - _sums(centred) ** 2 / count

    @property
    def mean(self) -> NDArray[np.float64]:
        """float64 ``[O]``."""
        return self._total / self._count

    @property
    def variance(self) -> NDArray[np.float64]:
        """float64 ``[O]``; 0 where there is only the rounding of a constant."""
        if self._energy is not None:
            return np.maximum(self._energy / self._count - self.mean**2, 0.0)
        variance = self._squares / self._count
        return np.where(variance > _ROUNDING * self.mean**2, variance, 0.0)


class ChannelMeans:
    """Mean of each channel of streamed arrays; channels lie on ``channel_axis`` (1 or -1)."""

    def __init__(self, channel_axis: int):
        self._axis, self._total, self._count = channel_axis, np.zeros(1), 0

    def add(self, array: NDArray[np.float32]) -> None:
        values = _channels_first(array, self._axis)
        self._total = self._total + _sums(values)
        self._count += values.shape[0] * values.shape[2]

    @property
    def mean(self) -> NDArray[np.float64]:
        """float64 ``[O]``."""
        return self._total / self._count


def channel_means(arrays: Iterable[NDArray[np.float32]], channel_axis: int) -> NDArray[np.float64]:
    """Mean of each channel over all batches, float64 ``[O]``."""
    means = ChannelMeans(channel_axis)
    for array in arrays:
        means.add(array)
    return means.mean


def channel_variances(
    arrays: Iterable[NDArray[np.float32]], channel_axis: int
) -> NDArray[np.float64]:
    """Variance of each channel over all batches, float64 ``[O]``."""
    moments = ChannelMoments(channel_axis)
    for array in arrays:
        moments.add(array)
    return moments.variance


def output_variances(
    weight: NDArray[np.float64], covariance: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Variance of each output channel, float64 ``[O]``, for weights ``[O, ...]`` on patches of that
    covariance.

    covariance: ``[groups, K, K]``; the O rows fall into as many equal parts.
    """
    groups, width = covariance.shape[:2]
    rows = weight.reshape(groups, -1, width)
    return np.einsum("gok,gok->go", rows @ covariance, rows).reshape(-1)


def spread_factor(wanted: NDArray[np.float64], reached: NDArray[np.float64]) -> NDArray[np.float64]:
    """The factor ``[O]`` that turns one variance into another; 1 for constant channels."""
    known = (wanted > 0) & (reached > 0)
    with np.errstate(over="ignore"):
        factor = np.sqrt(np.divide(wanted, reached, out=np.ones_like(wanted), where=known))
    return np.clip(factor, SMALLEST_FACTOR, LARGEST_FACTOR)


def _channels_first(array: NDArray[np.float32], channel_axis: int) -> NDArray[np.float32]:
    """``[B, O, positions]``."""
    if channel_axis == 1:
        return array.reshape(*array.shape[:2], -1)
    return np.ascontiguousarray(array.reshape(-1, array.shape[-1]).T)[None]


def _sums(values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Of each channel ``[O]``, over ``[B, O, positions]``."""
    with np.errstate(over="ignore", invalid="ignore"):
        sums = values.sum(-1).astype(np.float64)
    if not np.isfinite(sums).all():
        sums = values.sum(-1, dtype=np.float64)
    return sums.sum(axis=0)


def _energy(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return np.matmul(values[:, :, None, :], values[:, :, :, None])[:, :, 0, 0]
