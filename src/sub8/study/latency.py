"""Times of the points of a study, each beside ONNX Runtime fp32 and int8 in the same run."""

from pathlib import Path

import numpy as np

from sub8.engine.session import Session
from sub8.oracle import OnnxRuntime
from sub8.verbs.benchmark import interleaved_medians


def time_point(
    artifact: Path, peers: dict[str, Path], shape: tuple[int, ...], threads: int, runs: int = 20
) -> dict[str, float]:
    """Median milliseconds: ``sub8`` and every peer by name, taking turns."""
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    calls = [Session(artifact, threads=threads).run]
    calls += [OnnxRuntime(path, threads=threads).run for path in peers.values()]
    return dict(zip(["sub8", *peers], interleaved_medians(calls, x, runs), strict=True))
