"""Times of the points of a study, each beside ONNX Runtime fp32 and int8 in the same run."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

from sub8.engine.session import Session
from sub8.latency import interleaved_medians
from sub8.oracle import OnnxRuntime


def time_point(
    artifact: Path,
    peers: Mapping[str, Path | ir.Model],
    shape: tuple[int, ...],
    threads: int,
    runs: int = 20,
) -> dict[str, float]:
    """Median milliseconds: ``sub8`` and every peer by name, taking turns."""
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    session = Session(artifact, threads=threads)
    calls: list[Callable[[Mapping[str, NDArray[Any]]], Any]] = [session.run_all]
    calls += [OnnxRuntime(peer, threads=threads).run_all for peer in peers.values()]
    return dict(
        zip(["sub8", *peers], interleaved_medians(calls, {session.inputs[0]: x}, runs), strict=True)
    )
