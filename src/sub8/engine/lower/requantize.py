"""The integers of a requantisation as the native core takes them."""

import numpy as np
from numpy.typing import NDArray

from sub8.engine.description import records
from sub8.numerics.dfp import Format
from sub8.numerics.requantize import To8Bit, ToFloat


def to_8_bit(
    integers: To8Bit, residual: Format | None = None, table: NDArray[np.uint8] | None = None
) -> records.To8Bit:
    """residual: the format of what is added before the rounding. table: of what becomes of the
    result, by its byte, ``[256]`` or ``[outputs, 256]``.
    """
    return records.To8Bit(
        multiplier=integers.multiplier,
        offset=integers.offset,
        residual_multiplier=integers.residual_multiplier,
        shift=integers.shift,
        zero_point=integers.zero_point,
        low=integers.low,
        high=integers.high,
        has_residual=residual is not None,
        residual_signed=residual is not None and residual.signed,
        table=table,
    )


def to_float(integers: ToFloat) -> records.ToFloat:
    return records.ToFloat(integers.multiplier, integers.offset, integers.scale)
