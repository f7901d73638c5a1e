"""What a network is calibrated on, and what is kept from calibration to measure on."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from sub8.data import DataSource, ImageRange, parse_range
from sub8.data.dataset import Dataset
from sub8.data.preprocess import Preparation

# Calibration takes no more where the user names no number: for statistics more change little.
CALIBRATION_IMAGES = 300
# What gradients fit goes on to gain (docs/measurements/accuracy.md, "Block reconstruction").
FITTED_IMAGES = 1024
# What the command line and studies keep to measure on.
HELD_OUT = 100
# Of fewer samples all calibrate: too few would be left to calibrate on, and to measure on.
_FEWEST_TO_PART = 40

Calibration: TypeAlias = DataSource


@dataclass(frozen=True)
class Samples:
    """data, images: see ``open_dataset`` and ``parse_range``. preprocess: of uint8 images; default
    the model's own. hold_out: how many samples at most are kept from calibration.
    """

    data: Calibration
    images: ImageRange = None
    preprocess: Preparation | None = None
    hold_out: int = 0

    @property
    def name(self) -> str:
        """The name of the file, or "array"."""
        return Path(self.data).name if isinstance(self.data, (str, os.PathLike)) else "array"

    @property
    def limit(self) -> int | None:
        """How many samples of the data are needed, None for all."""
        return None if self.images is None else parse_range(self.images).stop

    def parted(
        self, offered: Dataset, most: int = CALIBRATION_IMAGES
    ) -> tuple[Dataset, Dataset | None]:
        """What to calibrate on, and up to ``hold_out`` other samples to measure on.

        Of a range that the user named nothing is taken away: what lies outside of it is held out.
        Else a fifth of the samples is held out where there are enough, and at most ``most``
        calibrate, spread over all of them.
        """
        everything = range(len(offered))
        if self.images is not None:
            used = everything[parse_range(self.images)]
            rest = [*range(used.start), *range(used.stop, len(offered))]
            return offered.select(self.images), _picked(offered, _evenly(rest, self.hold_out))
        fifth = len(offered) // 5 if len(offered) >= _FEWEST_TO_PART else 0
        held = _evenly(everything, min(self.hold_out, fifth))
        rest = sorted(set(everything).difference(held))
        return offered.pick(_evenly(rest, most)), _picked(offered, held)


def _picked(data: Dataset, indices: Sequence[int]) -> Dataset | None:
    return data.pick(indices) if indices else None


def _evenly(indices: Sequence[int], most: int) -> list[int]:
    """At most so many of them, evenly spread: data may be sorted by class."""
    count = min(most, len(indices))
    return [indices[place * len(indices) // count] for place in range(count)]
