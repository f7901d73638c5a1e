"""The verb ``benchmark``: latency in all and by layer, beside ONNX Runtime in float32 on the same machine.

Both runtimes take turns, run by run, so that a change of the machine's speed meets both; the figures are
medians of the runs.
"""

import json
import os
import platform
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sub8.engine.session import Session
from sub8.errors import InputError
from sub8.float_twin import float_twin
from sub8.model_file import ModelFile, ModelSource
from sub8.oracle import OnnxRuntime
from sub8.progress import Progress

WARM_UP_RUNS = 3


@dataclass(frozen=True)
class LayerLatency:
    """Milliseconds of one operator of the engine; ``float32`` is ONNX Runtime's where its node is the same."""

    name: str
    operator: str
    sub8: float
    float32: float | None


@dataclass(frozen=True)
class Benchmark:
    """Latencies in milliseconds for one call with ``input_shape``.

    sub8: the engine's median, None for a float model. float32: ONNX Runtime's median. ``layers``: only
    where a profile was asked for; measured in runs of their own.
    """

    sub8: float | None
    float32: float
    input_shape: tuple[int, ...]
    threads: int
    runs: int
    machine: str
    layers: tuple[LayerLatency, ...] = ()

    @property
    def speedup(self) -> float | None:
        """How many times faster than float32 the engine is."""
        return None if self.sub8 is None else self.float32 / self.sub8

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "speedup": self.speedup}


def benchmark(
    model: ModelSource,
    *,
    baseline: ModelSource | None = None,
    threads: int | None = None,
    input_shape: tuple[int, ...] | None = None,
    batch: int = 1,
    runs: int = 30,
    profile: bool = False,
    progress: Progress | None = None,
) -> Benchmark:
    """Time a model on random inputs.

    baseline: the float model to compare with; default, the float network inside the quantised file.
    threads: for both runtimes; default, the processors this process may use.
    input_shape: ``[B, C, H, W]``; default, the model's own with ``batch`` images.
    """
    if runs < 1 or batch < 1:
        raise InputError(f"runs ({runs}) and batch ({batch}) must be at least 1")
    threads = threads if threads is not None else len(os.sched_getaffinity(0))
    if threads < 1:
        raise InputError(f"threads {threads} must be at least 1")
    opened = ModelFile.open(model)
    shape = input_shape or opened.input_shape(batch)
    x = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)
    opened.check_input(x)
    float_model = _float_model(opened, baseline)
    reference = OnnxRuntime(float_model, threads=threads)
    session = Session(opened.model, threads=threads) if opened.quantised else None
    calls: list[Callable[[NDArray[np.float32]], Any]] = [reference.run]
    if session is not None:
        calls.append(session.run)
    times = interleaved_medians(calls, x, runs, progress)
    layers: tuple[LayerLatency, ...] = ()
    if profile and session is not None:
        layers = _by_layer(session, float_model, x, threads, runs)
    return Benchmark(
        sub8=times[1] if session is not None else None,
        float32=times[0],
        input_shape=tuple(shape),
        threads=threads,
        runs=runs,
        machine=machine(),
        layers=layers,
    )


def machine() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text("utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _float_model(opened: ModelFile, baseline: ModelSource | None) -> Path | bytes:
    if baseline is not None:
        chosen = ModelFile.open(baseline)
        return chosen.path or chosen.serialized()
    if opened.quantised:
        return ModelFile(opened.name, None, float_twin(opened.model)).serialized()
    return opened.path or opened.serialized()


def interleaved_medians(
    calls: list[Callable[[NDArray[np.float32]], Any]],
    x: NDArray[np.float32],
    runs: int,
    progress: Progress | None = None,
) -> list[float]:
    """Median milliseconds of each call, the calls taking turns."""
    times: list[list[float]] = [[] for _ in calls]
    for run in range(WARM_UP_RUNS + runs):
        for call, taken in zip(calls, times, strict=True):
            start = time.perf_counter()
            call(x)
            if run >= WARM_UP_RUNS:
                taken.append(1e3 * (time.perf_counter() - start))
        if progress is not None:
            progress("runs", run + 1, WARM_UP_RUNS + runs)
    return [statistics.median(taken) for taken in times]


def _by_layer(
    session: Session, float_model: Path | bytes, x: NDArray[np.float32], threads: int, runs: int
) -> tuple[LayerLatency, ...]:
    collected: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(runs):
        for step in session.profile(x):
            collected[step.name, step.operator].append(step.milliseconds)
    nodes = _float_nodes(float_model, x, threads, runs)
    return tuple(
        LayerLatency(name, operator, statistics.median(times), nodes.get(name))
        for (name, operator), times in collected.items()
    )


def _float_nodes(
    float_model: Path | bytes, x: NDArray[np.float32], threads: int, runs: int
) -> dict[str, float]:
    """Median milliseconds of ONNX Runtime's nodes by name (it fuses some, which then bear one name)."""
    with tempfile.TemporaryDirectory() as folder:
        profiled = OnnxRuntime(float_model, threads=threads, profile=str(Path(folder) / "float"))
        for _ in range(runs):
            profiled.run(x)
        events = json.loads(profiled.close().read_text("utf-8"))
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            times[name.removesuffix("_kernel_time")].append(event["dur"] / 1e3)
    return {name: statistics.median(taken) for name, taken in times.items()}
