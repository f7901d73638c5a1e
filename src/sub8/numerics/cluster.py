"""Clusters: for each output channel, N consecutive input channels' kernels share one 8-bit scale.

A layer's weight is ``alpha[o, c] * 2**exponent * values[o, i, ...]`` with ``c = i // cluster``
(arXiv 1701.08978, section 3: one multiplication per cluster, the rest accumulations).

>>> weight = ClusteredWeight(
...     "ternary",
...     values=np.array([[1, -1, 0, 1], [0, 1, 1, 0]], np.int8),
...     alpha=np.array([[3, 5], [2, 7]], np.uint8),
...     exponent=-4,
...     cluster=2,
... )
>>> weight.scaled_integers()
array([[ 3, -3,  0,  5],
       [ 0,  2,  7,  0]], dtype=int32)
>>> weight.dequantize()
array([[ 0.1875, -0.1875,  0.    ,  0.3125],
       [ 0.    ,  0.125 ,  0.4375,  0.    ]], dtype=float32)
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.rounding import divide_up
from sub8.numerics.weight_format import WEIGHT_FORMATS, IntegerFormat

LARGEST_ALPHA = 255
_ELEMENTS_AT_ONCE = 1 << 16  # of temporary arrays beside large weights


class WeightTerm(Protocol):
    """What computes with a term needs of it, wherever its integers lie; fields as
    ClusteredWeight's.
    """

    @property
    def kind(self) -> str: ...
    @property
    def format(self) -> IntegerFormat: ...
    @property
    def values(self) -> NDArray[np.int8]: ...
    @property
    def alpha(self) -> NDArray[np.uint8]: ...
    @property
    def exponent(self) -> int: ...
    @property
    def cluster(self) -> int: ...
    @property
    def channel_scale(self) -> NDArray[np.float32] | None: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def magnitudes(self) -> NDArray[np.int64]: ...
    def scaled_integers(self) -> NDArray[np.int32]: ...


def in_powers_of_two(term: WeightTerm) -> bool:
    """Whether every scale is a multiple of a power of two that its output channel shares."""
    return term.channel_scale is None or bool((np.frexp(term.channel_scale)[0] == 0.5).all())


@dataclass(frozen=True)
class ClusteredWeight:
    """Integers and scales of one layer's weights.

    kind: name of the ``IntegerFormat`` of ``values``.
    values: int8 ``[O, I, *kernel]`` (I = input channels of one group; a matrix has no kernel axes).
    alpha: uint8 ``[O, ceil(I / cluster)]``; 0 only where every value of the cluster is 0.
    exponent: e, shared by the layer.
    cluster: N, input channels per cluster (1..I); the last cluster may be shorter.
    channel_scale: float32 ``[O]`` factor on top, None where all are 1: powers of two where output
        channels lie too far apart for one exponent, or any scales of a foreign int8 file (then
        alpha is all ones and exponent 0).
    """

    kind: str
    values: NDArray[np.int8]
    alpha: NDArray[np.uint8]
    exponent: int
    cluster: int
    channel_scale: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        outputs, inputs = self.values.shape[:2]
        if not 1 <= self.cluster <= inputs:
            raise ValueError(f"cluster {self.cluster} outside 1..{inputs}")
        if self.values.dtype != np.int8 or self.alpha.dtype != np.uint8:
            raise ValueError("values must be int8 and alpha uint8")
        if self.alpha.shape != (outputs, divide_up(inputs, self.cluster)):
            raise ValueError(f"alpha {self.alpha.shape} does not fit values {self.values.shape}")
        largest = max(int(self.values.max(initial=0)), -int(self.values.min(initial=0)))
        if largest > self.format.largest:
            raise ValueError(f"{self.kind} value {largest} out of range")

    @property
    def format(self) -> IntegerFormat:
        """What integers ``values`` may hold."""
        return WEIGHT_FORMATS[self.kind]

    @property
    def shape(self) -> tuple[int, ...]:
        """``[O, I, *kernel]``."""
        return self.values.shape

    @cached_property
    def magnitudes(self) -> NDArray[np.int64]:
        """Sum of ``alpha * |values|`` of each output channel, ``[O]``."""
        outputs, inputs = self.shape[:2]
        starts = np.arange(0, inputs, self.cluster)
        values = self.values.reshape(outputs, inputs, -1)
        totals = np.empty(outputs, np.int64)
        rows = max(1, _ELEMENTS_AT_ONCE // max(1, values[0].size))
        for begin in range(0, outputs, rows):
            part = slice(begin, begin + rows)
            per_input = np.abs(values[part]).sum(axis=2, dtype=np.int64)
            per_cluster = np.add.reduceat(per_input, starts, axis=1)
            totals[part] = (per_cluster * self.alpha[part]).sum(axis=1)
        return totals

    def scaled_integers(self) -> NDArray[np.int32]:
        """``alpha * values``, int32 ``[O, I, *kernel]``: the weight in units of ``2**exponent``."""
        per_channel = np.repeat(self.alpha.astype(np.int32), self.cluster, axis=1)
        per_channel = per_channel[:, : self.values.shape[1]]
        extra_axes = (1,) * (self.values.ndim - 2)
        return per_channel.reshape(*per_channel.shape, *extra_axes) * self.values.astype(np.int32)

    def dequantize(self) -> NDArray[np.float32]:
        """The real weights, float32 ``[O, I, *kernel]``."""
        real = self.scaled_integers().astype(np.float32) * np.float32(
            math.ldexp(1.0, self.exponent)
        )
        if self.channel_scale is not None:
            real = real * self.channel_scale.reshape(-1, *(1,) * (real.ndim - 1))
        return real
