"""Float islands: nodes outside the integer set, run by ONNX Runtime on their own small models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.operators import Island
from sub8.oracle import OnnxRuntime

# What a node reads on average, weights included, from which on it gains by waking other threads.
_LARGE_BYTES = 2**17


class OpenIsland:
    """An island's runtime, of as many threads as pay. Safe from many threads."""

    def __init__(self, island: Island, threads: int) -> None:
        self._island, self._threads = island, threads
        self._several = threads == 1 or self._is_large(0)
        self._runtime = open_island(island, threads if self._several else 1)

    def run_all(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """Its results by name."""
        if not self._several and self._is_large(sum(array.nbytes for array in inputs.values())):
            self._runtime = open_island(self._island, self._threads)
            self._several = True
        return self._runtime.run_all(inputs)

    def _is_large(self, input_bytes: int) -> bool:
        read = len(self._island.model) + input_bytes
        return read >= _LARGE_BYTES * len(self._island.nodes)


def open_island(island: Island, threads: int | None = None) -> OnnxRuntime:
    """A runtime for one island, without graph optimisation: the numbers are those of the whole
    file.
    """
    # What follows has integers for all processors; threads that spin would hold them for 39 ms.
    return OnnxRuntime(island.model, threads=threads, optimise=False, spin=False)


def run_island(
    island: Island, inputs: Mapping[str, NDArray[np.float32]]
) -> dict[str, NDArray[Any]]:
    """An island's results by tensor name, for a single run."""
    return open_island(island, threads=1).run_all({name: inputs[name] for name in island.inputs})
