"""Formats of 8-bit tensors, scales powers of two: from a sample of real values, by one of three
rules for the exponent.
"""

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sub8.numerics.dfp import Format, dequantize, quantize
from sub8.recipe import Dfp8

# Four halvings below the largest value cover every tensor where clipping pays for itself.
CANDIDATES = 5
SAMPLE = 1 << 19
# The artifact's scales are normal float32 numbers.
LOWEST_EXPONENT = -126
# What part of the squared error a zero point must leave at most, to be worth having.
_WORTH = 0.5


@dataclass
class Observer:
    """What a streamed tensor holds: its exact range, and a bounded random sample of its elements.

    per_image: how many elements of each image the sample takes.
    """

    per_image: int
    smallest: float = math.inf
    largest: float = -math.inf
    finite: bool = True
    _parts: list[NDArray[np.float32]] = field(default_factory=list)

    @classmethod
    def for_images(cls, images: int) -> "Observer":
        """An observer whose sample of ``images`` images stays near ``SAMPLE`` elements."""
        return cls(per_image=max(1, SAMPLE // max(images, 1)))

    def add(self, values: NDArray[np.float32], rng: np.random.Generator) -> None:
        """Take in a batch ``[B, ...]`` of real values."""
        flat = np.ascontiguousarray(values).reshape(-1)
        if flat.size == 0:
            return
        low, high = float(flat.min()), float(flat.max())
        self.finite &= math.isfinite(low) and math.isfinite(high)
        self.smallest, self.largest = min(self.smallest, low), max(self.largest, high)
        wanted = self.per_image * len(values)
        if flat.size > wanted:
            flat = flat[rng.integers(0, flat.size, wanted)]
        self._parts.append(flat.copy())

    def sample(self) -> NDArray[np.float32]:
        """The sampled elements, float32 ``[n]``."""
        return np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)

    @property
    def magnitude(self) -> float:
        """The largest absolute value seen, 0 where nothing was."""
        return max(abs(self.smallest), abs(self.largest)) if math.isfinite(self.largest) else 0.0


def covering_exponent(magnitude: float, signed: bool, bits: int = 8) -> int:
    """The finest exponent e with ``magnitude <= high * 2**e``, at least -126; 0 for an all-zero
    tensor.
    """
    if magnitude <= 0.0:
        return 0
    high = Format.dfp(signed, 0, bits=bits).high
    exponent = math.frexp(magnitude / high)[1]
    exponent = exponent - 1 if magnitude <= math.ldexp(high, exponent - 1) else exponent
    return max(exponent, LOWEST_EXPONENT)


def choose_exponent(
    sample: NDArray[np.float32], magnitude: float, signed: bool, how: Dfp8, bits: int = 8
) -> int:
    """The static exponent of a tensor.

    sample: some of its elements. magnitude: the largest absolute value of all of them.
    how.calibration: "max": nothing saturates; "percentile": ``how.percentile`` per cent of the
    magnitudes do not; "mse": least squared error over the sample among the covering exponent and
    the finer ones."""
    covering = covering_exponent(magnitude, signed, bits)
    if how.calibration == "max" or sample.size == 0:
        return covering
    if how.calibration == "percentile":
        limit = float(np.percentile(np.abs(sample), how.percentile, method="higher"))
        return min(covering, covering_exponent(limit, signed, bits)) if limit > 0 else covering
    finest = covering - LOWEST_EXPONENT
    errors = [
        squared_error(sample, Format.dfp(signed, covering - step, bits=bits))
        for step in range(min(CANDIDATES, finest + 1))
    ]
    while int(np.argmin(errors)) == len(errors) - 1 and len(errors) <= finest:
        # A few values dwarf the rest, which then decides.
        finer = Format.dfp(signed, covering - len(errors), bits=bits)
        errors.append(squared_error(sample, finer))
    return covering - int(np.argmin(errors))


def choose_format(
    sample: NDArray[np.float32],
    smallest: float,
    largest: float,
    signed: bool,
    how: Dfp8,
    *,
    lopsided: bool = False,
) -> Format:
    """The static format of a tensor.

    sample, how: see ``choose_exponent``. smallest, largest: of all its elements. lopsided: whether
    it may have a zero point, so that what lies mostly above 0 (SiLU, hard-swish) is uint8 with
    twice as fine steps as int8 would have; it gets one where that halves the squared error.
    """
    magnitude = max(abs(smallest), abs(largest))
    plain = Format.dfp(signed, choose_exponent(sample, magnitude, signed, how))
    if not lopsided or not signed or not smallest < 0.0 < largest:
        return plain
    exponent = choose_exponent(sample - np.float32(smallest), largest - smallest, False, how)
    below = math.ceil(-smallest * 2.0**-exponent)
    spare = 255 - below - math.ceil(largest * 2.0**-exponent)
    if not 0 < below <= 255 or (spare < 0 and how.calibration == "max"):
        return plain
    # Room that is left goes to both sides: other inputs may reach further.
    found = Format.dfp(False, exponent, below + max(0, spare) // 2)
    worth = squared_error(sample, found) < _WORTH * squared_error(sample, plain)
    return found if worth else plain


def squared_error(values: NDArray[np.float32], fmt: Format) -> float:
    """Sum of squared differences between ``values`` and their 8-bit form."""
    difference = dequantize(quantize(values, fmt), fmt) - values
    largest = float(np.abs(difference).max(initial=0.0))
    if not 1e-12 < largest < 1e12:  # whose squares float32 could not sum
        difference = difference.astype(np.float64)
    return float(np.dot(difference, difference))
