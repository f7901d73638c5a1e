"""Dynamic fixed point: 8-bit integers and the scale that turns them into real numbers."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Format:
    """How the 8-bit integers q of an activation tensor stand for reals: ``(q - zero_point) *
    scale``.

    sub8 itself writes only powers of two for ``scale`` (design: dynamic fixed point, arXiv
    1701.08978 section 3), and a zero point only for tensors that lie mostly on one side of 0; other
    values come from Q/DQ files of other tools. ``scale is None`` means a dynamic exponent: chosen
    at run time, one per image.
    bits: how many of the 8 are used; fewer leave room in what is computed with the integers.

    >>> fmt = Format.dfp(signed=False, exponent=-4)
    >>> fmt.scale, fmt.low, fmt.high
    (0.0625, 0, 255)
    >>> quantize(np.array([0.03125, 0.09375, 99.0]), fmt)  # halves go to the even neighbour
    array([  0,   2, 255], dtype=uint8)
    """

    signed: bool
    scale: float | None
    zero_point: int = 0
    bits: int = 8

    @classmethod
    def dfp(cls, signed: bool, exponent: int, zero_point: int = 0, bits: int = 8) -> "Format":
        """The static dynamic-fixed-point format with scale ``2**exponent``."""
        return cls(signed, math.ldexp(1.0, exponent), zero_point, bits)

    @property
    def dynamic(self) -> bool:
        return self.scale is None

    @property
    def exponent(self) -> int | None:
        """e where ``scale == 2**e`` exactly, else None."""
        if self.scale is None:
            return None
        mantissa, exponent = math.frexp(self.scale)
        return exponent - 1 if mantissa == 0.5 else None

    @property
    def scaled_by_power(self) -> bool:
        """Whether the scale is a power of two, or dynamic."""
        return self.dynamic or self.exponent is not None

    @property
    def is_power(self) -> bool:
        """Whether besides it has no zero point."""
        return self.zero_point == 0 and self.scaled_by_power

    @property
    def round_trips(self) -> bool:
        """Whether dequantising and quantising again gives every integer back: not where float32
        does not hold the real numbers. Of static formats.
        """
        integers = np.arange(self.low, self.high + 1)
        with np.errstate(over="ignore", invalid="ignore"):
            return np.array_equal(quantize(dequantize(integers, self), self), integers)

    @property
    def low(self) -> int:
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def high(self) -> int:
        return (1 << (self.bits - self.signed)) - 1

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.int8 if self.signed else np.uint8)


def quantize(values: NDArray[np.floating], fmt: Format) -> NDArray:
    """Float values to integers exactly as ONNX QuantizeLinear: round half to even, add zero point,
    saturate; NaN, as ONNX Runtime on x86, to the lowest.
    """
    assert fmt.scale is not None
    with np.errstate(over="ignore"):  # what overflows saturates
        scaled = np.asarray(values, np.float32) / np.float32(fmt.scale)
    rounded = np.rint(scaled) + fmt.zero_point
    return np.minimum(np.fmax(rounded, fmt.low), fmt.high).astype(fmt.dtype)


def dequantize(integers: NDArray[np.integer], fmt: Format) -> NDArray[np.float32]:
    """Integers to float32 exactly as ONNX DequantizeLinear."""
    assert fmt.scale is not None
    return (np.asarray(integers, np.int32) - fmt.zero_point).astype(np.float32) * np.float32(
        fmt.scale
    )
