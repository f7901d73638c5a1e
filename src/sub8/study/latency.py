"""Times of the points of a study, each beside ONNX Runtime fp32 and int8 in the same run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.session import Session
from sub8.latency import interleaved_medians
from sub8.oracle import OnnxRuntime


def time_point(
    artifact: Path, peers: dict[str, Path], shape: tuple[int, ...], threads: int, runs: int = 20
) -> dict[str, float]:
    """Median milliseconds: ``sub8`` and every peer by name, taking turns."""
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    calls: list[Callable[[NDArray[np.float32]], Any]] = [Session(artifact, threads=threads).run]
    calls += [OnnxRuntime(path, threads=threads).run for path in peers.values()]
    return dict(zip(["sub8", *peers], interleaved_medians(calls, x, runs), strict=True))
