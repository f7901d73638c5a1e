"""Requantisation: how an exact integer sum becomes an 8-bit result with one rounding.

1. An accumulator stands for the real ``acc * u``; for a layer ``u`` is the input's scale times the
   weights' unit. With a bias ``b`` in units of ``v`` and a residual ``r`` of scale ``t`` and zero
   point ``z_r`` the sum is

       real = acc * u + b * v + (r - z_r) * t

   Where ``acc`` is made of raw integers (Add, Reformat), ``acc - z_x`` stands in its place.
2. A result ``q`` of scale ``s`` and zero point ``z`` stands for ``(q - z) * s``, so the nearest one
   is

       q = clamp(round_half_even(real / s) + z, low, high)

   with ``low`` and ``high`` the type's range, narrowed by the Relu or Clip behind the sum.
3. Divided by ``s`` and scaled by ``2**shift``, every factor is an integer, exactly where all scales
   are powers of two, and of at most 31 bits where they are not:

       multiplier = round(u / s * 2**shift)        residual_multiplier = round(t / s * 2**shift)
       offset     = round(b * v / s * 2**shift) - z_x * multiplier - z_r * residual_multiplier

4. What is left at run time is integer arithmetic, for every output channel o:

       q = clamp(round_half_even((acc * multiplier[o] + r * residual_multiplier + offset[o]) /
       2**shift)
                 + zero_point, low, high)

A mean divides by ``count * 2**shift`` instead. ``engine.plan.requantize`` finds the integers for an
operator's formats; the native core has the same ones under the same names (``native/requantize``).

>>> ten = {"zero_point": 10, "low": 0, "high": 255}
>>> to = To8Bit(multiplier=np.array([3]), offset=np.array([8]), shift=4, **ten)
>>> requantize(np.array([0, 8, 1000, -99]), to, np.dtype(np.uint8))
array([ 10,  12, 198,   0], dtype=uint8)
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.operators import per_channel
from sub8.numerics.rounding import Int64Array, divide_round_half_even, shift_round_half_even


@dataclass(frozen=True, eq=False)
class To8Bit:
    """The integers of step 4. multiplier, offset: int64 ``[O]``, or ``[1]`` where all channels
    agree.
    """

    multiplier: Int64Array
    offset: Int64Array
    shift: int
    zero_point: int
    low: int
    high: int
    residual_multiplier: int = 0


@dataclass(frozen=True, eq=False)
class ToFloat:
    """A float32 result: ``float32(acc * multiplier + offset[o]) * scale[o]``.

    multiplier: a power of two. offset: int64 ``[O]``, the bias in the same unit. scale: float32
    ``[O]`` or ``[1]``."""

    multiplier: int
    offset: Int64Array
    scale: NDArray[np.float32]


def requantize(
    acc: Int64Array,
    to: To8Bit,
    dtype: np.dtype,
    *,
    residual: Int64Array | None = None,
    axis: int = 0,
) -> NDArray:
    """Step 4 for accumulators whose channels lie along ``axis``."""
    total = acc * per_channel(to.multiplier, acc.ndim, axis)
    total = total + per_channel(to.offset, acc.ndim, axis)
    if residual is not None:
        total = total + residual * to.residual_multiplier
    return _saturate(shift_round_half_even(total, to.shift), to, dtype)


def requantize_mean(sums: Int64Array, divisor: Int64Array, to: To8Bit, dtype: np.dtype) -> NDArray:
    """Exact rational rounding of ``sums / divisor``; a window that lies wholly outside counts as
    one position.
    """
    scaled = sums * to.multiplier[0]
    rounded = divide_round_half_even(scaled, np.maximum(divisor, 1) << to.shift)
    return _saturate(rounded, to, dtype)


def to_float(acc: Int64Array, to: ToFloat, axis: int) -> NDArray[np.float32]:
    """A layer's float32 result."""
    total = acc * to.multiplier + per_channel(to.offset, acc.ndim, axis)
    return total.astype(np.float32) * per_channel(to.scale, acc.ndim, axis)


def _saturate(rounded: Int64Array, to: To8Bit, dtype: np.dtype) -> NDArray:
    return np.clip(rounded + to.zero_point, to.low, to.high).astype(dtype)
