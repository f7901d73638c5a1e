"""The integers of a requantisation as the native core takes them."""

from sub8.engine.description import records
from sub8.numerics.dfp import Format
from sub8.numerics.requantize import To8Bit, ToFloat


def to_8_bit(integers: To8Bit, residual: Format | None = None) -> records.To8Bit:
    """residual: the format of what is added before the rounding."""
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
    )


def to_float(integers: ToFloat) -> records.ToFloat:
    return records.ToFloat(integers.multiplier, integers.offset, integers.scale)
