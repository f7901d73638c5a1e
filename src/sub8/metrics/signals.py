"""Outputs as signals: their power beside that of the error, their direction, their distance."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.errors import InputError


class Power:
    """Of one float output and of its error, over several runs."""

    def __init__(self) -> None:
        self._signal = self._noise = 0.0
        self._comparable = True

    def add(self, expected: NDArray[Any], got: NDArray[Any]) -> None:
        real = np.issubdtype(expected.dtype, np.floating)
        if expected.shape != got.shape or not real:  # as of detections
            self._comparable = False
            return
        self._signal += float(np.square(expected, dtype=np.float64).sum())
        self._noise += float(np.square(expected.astype(np.float64) - got).sum())

    @property
    def decibels(self) -> float | None:
        """Signal to noise; infinite where nothing changed, None where it cannot be told."""
        if not self._comparable:
            return None
        if self._noise == 0.0:
            return math.inf
        return 10.0 * math.log10(self._signal / self._noise) if self._signal else -math.inf


def cosines(expected: NDArray[Any], got: NDArray[Any]) -> NDArray[np.float64]:
    """Per cent, of every image ``[B]``: between two outputs ``[B, ...]``, as of embeddings."""
    a, b = _flat(expected, got)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return 100.0 * (a * b).sum(axis=1) / np.maximum(lengths, 1e-30)


def root_mean_square(expected: NDArray[Any], got: NDArray[Any]) -> float:
    """Of the differences of two outputs ``[B, ...]``, in their own unit."""
    a, b = _flat(expected, got)
    return float(np.sqrt(np.square(a - b).mean()))


def _flat(expected: NDArray[Any], got: NDArray[Any]) -> list[NDArray[np.float64]]:
    if expected.shape != got.shape:
        raise InputError(
            f"outputs {list(got.shape)} are to be compared with {list(expected.shape)}"
        )
    return [np.reshape(x, (len(x), -1)).astype(np.float64) for x in (expected, got)]
