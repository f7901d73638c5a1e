"""What a mixed-precision network may cost: one of three limits."""

import math
from dataclasses import dataclass
from typing import TypeAlias

from sub8.errors import InputError


@dataclass(frozen=True)
class MaxDrop:
    """The fewest bits whose expected loss of top-1 against the float network is at most ``points``
    (per cent).
    """

    points: float

    def __post_init__(self) -> None:
        _check("max drop", self.points)


@dataclass(frozen=True)
class MeanBits:
    """The least error with at most ``bits`` stored bits a weight on average, scales included."""

    bits: float

    def __post_init__(self) -> None:
        _check("mean bits", self.bits)


@dataclass(frozen=True)
class MaxLatencyRatio:
    """The least error whose measured latency is at most ``ratio`` times that of the same network in
    int8.
    """

    ratio: float

    def __post_init__(self) -> None:
        _check("max latency ratio", self.ratio)


Budget: TypeAlias = MaxDrop | MeanBits | MaxLatencyRatio


def _check(name: str, value: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise InputError(f"{name} {value!r} must be a positive number")
