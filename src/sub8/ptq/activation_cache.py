"""Cached activations of the calibration data: real values of the float model, integers of the quantised one."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sub8.graph.dynamic import HIGHEST_EXPONENT, LOWEST_EXPONENT
from sub8.graph.groups import Group
from sub8.numerics.dfp import Format

FloatArray = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Quantised:
    """A batch of a tensor in the quantised network.

    values: 8-bit integers ``[B, ...]``, or float32 where the tensor stays float (``scales`` is None).
    scales: float32 ``[B]``, one per image (all the same for a static format).
    """

    values: NDArray
    scales: FloatArray | None

    @classmethod
    def of(cls, real: FloatArray, fmt: Format | None) -> "Quantised":
        """Quantise real values as the artifact does: round half to even, saturate."""
        if fmt is None:
            return cls(real, None)
        scales = image_scales(real, fmt)
        scaled = real * _per_image(np.float32(1) / scales, real.ndim)  # exact: powers of two
        np.rint(scaled, out=scaled)
        np.clip(scaled, fmt.low, fmt.high, out=scaled)
        return cls(scaled.astype(fmt.dtype), scales)

    def real(self) -> FloatArray:
        """The values that readers see, float32 ``[B, ...]``."""
        if self.scales is None:
            return self.values
        real = self.values.astype(np.float32)
        real *= _per_image(self.scales, real.ndim)
        return real


def image_scales(real: FloatArray, fmt: Format) -> FloatArray:
    """The scale of every image, float32 ``[B]``: the format's, or by the leading-zero rule of dynamic ones."""
    if fmt.scale is not None:
        return np.full(len(real), fmt.scale, np.float32)
    largest = np.abs(real.reshape(len(real), -1)).max(axis=1, initial=0)
    exponent = np.frexp(largest)[1] - 1 - (6 if fmt.signed else 7)
    exponent = np.where(largest > 0, exponent, LOWEST_EXPONENT)
    return np.ldexp(np.float32(1), np.clip(exponent, LOWEST_EXPONENT, HIGHEST_EXPONENT)).astype(
        np.float32
    )


def _per_image(scales: FloatArray, axes: int) -> FloatArray:
    return scales.reshape(-1, *(1,) * (axes - 1))


class Streams:
    """Both networks' activations that later groups still read, batch by batch.

    ``float_values[name]`` and ``quantised[name]`` are lists with one entry per batch. A tensor is dropped
    when its last reader has been served; those in ``keep`` never are.
    """

    def __init__(self, groups: Sequence[Group], keep: Iterable[str] = ()):
        self.float_values: dict[str, list[FloatArray]] = {}
        self.quantised: dict[str, list[Quantised]] = {}
        self._last_reader = {
            name: place for place, group in enumerate(groups) for name in group.inputs
        }
        self._last_reader.update(dict.fromkeys(keep, len(groups)))

    def put(self, name: str, real: list[FloatArray], quantised: list[Quantised]) -> None:
        """Keep a tensor, unless no group reads it."""
        if name in self._last_reader:
            self.float_values[name], self.quantised[name] = real, quantised

    def drop_float(self, name: str, place: int) -> None:
        """Forget the float model's side if the group at ``place`` is its last reader."""
        if self._last_reader[name] == place:
            self.float_values.pop(name, None)

    def drop(self, name: str, place: int) -> None:
        """Forget both sides if the group at ``place`` is the last reader."""
        if self._last_reader[name] == place:
            self.float_values.pop(name, None)
            self.quantised.pop(name, None)


def signal_to_noise(signal: float, noise: float) -> float:
    """Decibels from two sums of squares; infinity is given as 200."""
    if noise <= 0.0:
        return 200.0
    return 10.0 * math.log10(max(signal, 1e-30) / noise)
