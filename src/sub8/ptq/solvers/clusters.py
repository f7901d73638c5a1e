"""A layer's weight as a table of clusters ``[O, G, n]``, and the 8-bit scales they can have."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.cluster import LARGEST_ALPHA, ClusteredWeight
from sub8.numerics.rounding import divide_up
from sub8.numerics.weight_format import WEIGHT_FORMATS, IntegerFormat
from sub8.recipe import WeightFormat

Floats = NDArray[np.float64]

# Of float32's normal numbers, which the artifact's scales are.
_LOWEST_EXPONENT = -126


@dataclass(frozen=True)
class Clusters:
    """How one weight ``[O, I, *kernel]`` falls into clusters of n = N * prod(kernel) weights.

    The columns of a row, flattened in memory order, are the clusters one after another; only the
    last one may be shorter.
    """

    kind: str
    shape: tuple[int, ...]
    channels: int

    @classmethod
    def of(cls, shape: tuple[int, ...], fmt: WeightFormat) -> "Clusters":
        """The clusters of a weight of this shape; N beyond the input channels means all of them."""
        return cls(fmt.kind, tuple(shape), fmt.channels(shape[1]))

    @property
    def format(self) -> IntegerFormat:
        """What integers a weight may have."""
        return WEIGHT_FORMATS[self.kind]

    @property
    def largest(self) -> int:
        """L, the largest integer a weight may have."""
        return self.format.largest

    @property
    def columns(self) -> int:
        return math.prod(self.shape[1:])

    @property
    def size(self) -> int:
        """n, weights per (full) cluster."""
        return self.channels * math.prod(self.shape[2:])

    @property
    def count(self) -> int:
        """G, clusters per output channel."""
        return divide_up(self.shape[1], self.channels)

    def split(self, weight: NDArray) -> NDArray:
        """``[O, G, n]``, the last cluster filled up with zeros."""
        flat = weight.reshape(self.shape[0], self.columns)
        missing = self.count * self.size - self.columns
        if missing:
            flat = np.pad(flat, ((0, 0), (0, missing)))
        return flat.reshape(self.shape[0], self.count, self.size)

    def join(self, table: NDArray) -> NDArray:
        """``[O, I, *kernel]``, the inverse of ``split``."""
        flat = table.reshape(self.shape[0], -1)[:, : self.columns]
        return np.ascontiguousarray(flat).reshape(self.shape)

    def weight(self, values: NDArray, alpha: NDArray, exponent: int) -> ClusteredWeight:
        """The result of a solver: integers ``[O, G, n]``, whole alphas ``[O, G]``; empty clusters
        get alpha 0.
        """
        filled = np.any(values != 0, axis=2)
        return ClusteredWeight(
            self.kind,
            self.join(values.astype(np.int8)),
            np.where(filled, alpha, 0).astype(np.uint8),
            exponent,
            self.channels,
        )


@dataclass(frozen=True)
class AlphaLimits:
    """What the accumulator allows: ``1 <= alpha <= largest`` in units of ``2**e`` with ``e >=
    exponent``.
    """

    largest: int = LARGEST_ALPHA
    exponent: int = _LOWEST_EXPONENT

    def __post_init__(self) -> None:
        if not 1 <= self.largest <= LARGEST_ALPHA:
            raise ValueError(f"largest alpha {self.largest} outside 1..{LARGEST_ALPHA}")

    def finest_exponent(self, alpha: Floats) -> int:
        """The finest allowed e at which every real alpha rounds to at most ``largest``."""
        top = float(np.max(alpha, initial=0.0))
        if top <= 0.0:
            return max(self.exponent, 0)
        e = math.frexp(top / (self.largest + 0.5))[1] - 1
        while round(math.ldexp(top, -e)) > self.largest:
            e += 1
        return max(e, self.exponent, _LOWEST_EXPONENT)


def nearest(table: Floats, alpha: Floats, largest: int, out: Floats | None = None) -> Floats:
    """The integers in [-largest, largest] that represent ``[..., n]`` best at scales ``[...]``
    > 0.
    """
    values = np.divide(table, alpha[..., None], out=out)
    np.rint(values, out=values)
    return np.clip(values, -largest, largest, out=values)


def squared_error(
    table: Floats, alpha: Floats, values: Floats, out: Floats | None = None
) -> Floats:
    """``||w - alpha * q||^2`` of every cluster. out: memory for the difference."""
    difference = np.multiply(alpha[..., None], values, out=out)
    np.subtract(table, difference, out=difference)
    return np.einsum("...n,...n->...", difference, difference)
