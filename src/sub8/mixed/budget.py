"""What a mixed-precision network may cost: one of three limits."""

import math
from dataclasses import dataclass
from typing import Any, TypeAlias

from sub8.errors import InputError
from sub8.metrics.find import TOP1, Metric, check_metric, name_of


@dataclass(frozen=True)
class MaxDrop:
    """The fewest bits whose loss against the float network is at most ``points``.

    The loss is that on images like those of the calibration. On images that the network was trained
    on it is less than on others: a network is surer of them, and changes its answer less often.
    Take images that it was not trained on, where there are such.
    metric: "top1" (the expected loss, in per cent), "cosine" (of the first output, in per cent),
    "snr" (decibels of the output that lost most, below those of the most exact choice),
    ``"FILE.py:function"`` or a function ``(float outputs, outputs) -> number``, both outputs by
    name; the larger the better.
    """

    points: float
    metric: str | Metric = TOP1

    def __post_init__(self) -> None:
        _check("max drop", self.points)
        check_metric(self.metric)


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


def plain(budget: Budget) -> dict[str, Any]:
    """A budget as plain data, with its kind; a metric by its name."""
    values = {
        name: name_of(value) if name == "metric" else value for name, value in vars(budget).items()
    }
    return {"kind": type(budget).__name__, **values}


def _check(name: str, value: float) -> None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and math.isfinite(value) and value > 0):
        raise InputError(f"{name} {value!r} must be a positive number")
