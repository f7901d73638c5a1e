"""Float islands: nodes outside the integer set, run by ONNX Runtime on their own small models."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.plan.operators import Island
from sub8.oracle import OnnxRuntime


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
