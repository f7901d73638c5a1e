"""Native segments: runs of integer operators as one program of the native core."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sub8.native import _core

Shape: TypeAlias = tuple[int, ...]

KEPT_SHAPES = 8  # programs for the shapes used last; packed weights are shared by all


@dataclass(frozen=True)
class ExponentsOf:
    """Names the exponents of a dynamic tensor, which travel beside it between segments."""

    tensor: str


ArrayName = str | ExponentsOf


@dataclass(frozen=True)
class SegmentOutput:
    """An array that a segment makes. 8-bit tensors that only later segments read are flat bytes."""

    name: ArrayName
    shape: Shape
    dtype: np.dtype

    def repeated(self, parts: int) -> "SegmentOutput":
        """The output of so many parts of a batch, one after the other."""
        if parts == 1:
            return self
        return replace(self, shape=(parts * self.shape[0], *self.shape[1:]))


@dataclass(frozen=True)
class NativeSegment:
    """Consecutive integer operators as one native call. inputs: names of arrays, from outside or
    earlier segments.

    operators: for each step of the program the name of the operator it belongs to. Safe from many
    threads."""

    program: _core.Program
    inputs: tuple[ArrayName, ...]
    outputs: tuple[SegmentOutput, ...]
    operators: tuple[str, ...]

    def run(self, arrays: Mapping[Any, NDArray]) -> dict[ArrayName, NDArray]:
        """The outputs by name. Arrays must be C-contiguous and of the shapes the segment was made
        for.
        """
        results = {output.name: np.empty(output.shape, output.dtype) for output in self.outputs}
        self.program.run([arrays[name] for name in self.inputs], list(results.values()))
        return results

    def profile(self, arrays: Mapping[Any, NDArray]) -> tuple[dict[ArrayName, NDArray], list[int]]:
        """As ``run``, with nanoseconds per step."""
        results = {output.name: np.empty(output.shape, output.dtype) for output in self.outputs}
        times = self.program.profile([arrays[name] for name in self.inputs], list(results.values()))
        return results, times
