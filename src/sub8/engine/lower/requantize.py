"""The integers of a requantisation as the native core takes them."""

from sub8.native import _core
from sub8.numerics.dfp import Format
from sub8.numerics.requantize import To8Bit, ToFloat

Requantized = _core.RequantizeTo8Bit | _core.RequantizeToFloat


def to_8_bit(integers: To8Bit, residual: Format | None = None) -> _core.RequantizeTo8Bit:
    """residual: the format of what is added before the rounding."""
    return _core.RequantizeTo8Bit(
        multiplier=integers.multiplier.tolist(),
        offset=integers.offset.tolist(),
        shift=integers.shift,
        zero_point=integers.zero_point,
        low=integers.low,
        high=integers.high,
        residual_multiplier=integers.residual_multiplier,
        has_residual=residual is not None,
        residual_signed=residual is not None and residual.signed,
    )


def to_float(integers: ToFloat) -> _core.RequantizeToFloat:
    return _core.RequantizeToFloat(
        multiplier=integers.multiplier,
        offset=integers.offset.tolist(),
        scale=integers.scale.tolist(),
    )
