"""The verb ``benchmark``: latency in all and by layer, beside ONNX Runtime in float32 on the same
machine.
"""

import json
import statistics
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import onnx_ir as ir
from numpy.typing import NDArray

from sub8.data import Feed
from sub8.dequantized_model import dequantized_model
from sub8.engine.session import Session
from sub8.errors import InputError, Sub8Warning
from sub8.latency import interleaved_medians
from sub8.machine import processor_name, thread_count
from sub8.model_file import InputShapes, ModelFile, ModelSource, plain_shapes
from sub8.oracle import OnnxRuntime
from sub8.progress import Progress

# What ONNX Runtime merges into the layer before it.
_MERGED = frozenset({"Add", "BatchNormalization", "Clip", "Relu"})


@dataclass(frozen=True)
class LayerLatency:
    """Milliseconds of one operator of the engine; ``float32`` is ONNX Runtime's where its node is
    the same.
    """

    name: str
    operator: str
    sub8: float
    float32: float | None


@dataclass(frozen=True)
class Benchmark:
    """Latencies in milliseconds for one call with inputs of ``input_shapes``.

    sub8: the engine's median, None for a float model. float32: ONNX Runtime's median. ``layers``:
    only where a profile was asked for; measured in runs of their own.
    """

    sub8: float | None
    float32: float
    input_shapes: dict[str, tuple[int, ...]]
    threads: int
    runs: int
    machine: str
    layers: tuple[LayerLatency, ...] = ()

    @property
    def speedup(self) -> float | None:
        """How many times faster than float32 the engine is."""
        return None if self.sub8 is None else self.float32 / self.sub8

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Of the first input."""
        return next(iter(self.input_shapes.values()))

    def to_dict(self) -> dict[str, Any]:
        found = asdict(self)
        found["input_shape"] = plain_shapes(found.pop("input_shapes"))
        return {**found, "speedup": self.speedup}


def benchmark(
    model: ModelSource,
    *,
    baseline: ModelSource | None = None,
    threads: int | None = None,
    input_shape: InputShapes | None = None,
    batch: int = 1,
    runs: int = 30,
    profile: bool = False,
    progress: Progress | None = None,
) -> Benchmark:
    """Time a model on random inputs.

    baseline: the float model to compare with; default, the float network inside the quantised file.
    threads: for both runtimes; default, the processors this process may use.
    input_shape: ``[B, C, H, W]``, or shapes by input; default, the model's own with ``batch``
    images.
    """
    for name, value in (("runs", runs), ("batch", batch)):
        if not isinstance(value, int) or value < 1:
            raise InputError(f"{name} {value!r} must be a whole number of at least 1")
    threads = thread_count(threads)
    opened = ModelFile.open(model)
    shapes = opened.input_shapes(input_shape, batch)
    first = next(iter(shapes.values()))
    if input_shape is None and batch > 1 and first[:1] != (batch,):
        warnings.warn(
            f"{opened.name}: takes batches of {first[0] if first else 1} only; timed with that, "
            f"not {batch}",
            Sub8Warning,
            stacklevel=2,
        )
    x = opened.random_inputs(shapes)
    opened.check_inputs(x)
    float_model = _float_model(opened, baseline)
    reference = OnnxRuntime(float_model.runnable, threads=threads)
    session = Session(opened.model, threads=threads) if opened.quantised else None
    calls: list[Callable[[Mapping[str, NDArray[Any]]], Any]] = [reference.run_all]
    if session is not None:
        calls.append(session.run_all)
    times = interleaved_medians(calls, x, runs, progress)
    layers: tuple[LayerLatency, ...] = ()
    if profile and session is not None:
        layers = _by_layer(session, float_model, x, threads, runs)
    return Benchmark(
        sub8=times[1] if session is not None else None,
        float32=times[0],
        input_shapes=shapes,
        threads=threads,
        runs=runs,
        machine=processor_name(),
        layers=layers,
    )


def _float_model(opened: ModelFile, baseline: ModelSource | None) -> ModelFile:
    if baseline is not None:
        return ModelFile.open(baseline)
    if opened.quantised:
        return ModelFile(opened.name, None, dequantized_model(opened.model))
    return opened


def _by_layer(
    session: Session, float_model: ModelFile, x: Feed, threads: int, runs: int
) -> tuple[LayerLatency, ...]:
    collected: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in range(runs):
        for step in session.profile(x):
            collected[step.name, step.operator].append(step.milliseconds)
    layers = _float_layers(float_model, x, threads, runs)
    return tuple(
        LayerLatency(name, operator, statistics.median(times), layers.get(name))
        for (name, operator), times in collected.items()
    )


def _float_layers(model: ModelFile, x: Feed, threads: int, runs: int) -> dict[str, float]:
    """Median milliseconds of ONNX Runtime's layers by the layer's node name."""
    with tempfile.TemporaryDirectory() as folder:
        source = model.runnable
        profiled = OnnxRuntime(source, threads=threads, profile=str(Path(folder) / "float"))
        for _ in range(runs):
            profiled.run_all(x)
        events = json.loads(profiled.close().read_text("utf-8"))
    times: dict[str, list[float]] = defaultdict(list)
    for event in events:
        name = event.get("name", "")
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            plain = name.removesuffix("_kernel_time").removesuffix("_nchwc")
            times[plain].append(event["dur"] / 1e3)
    layers = {}
    for node in model.model.graph:
        if node.op_type in ("Conv", "Gemm", "MatMul"):
            found = next((name for name in _names_in_profile(node) if name in times), None)
            if found is not None:
                layers[str(node.name)] = statistics.median(times[found])
    return layers


def _names_in_profile(layer: ir.Node) -> Iterator[str]:
    """What ONNX Runtime may call a layer: its node's name, or a result's after merging what
    follows.
    """
    node = layer
    yield str(layer.name)
    while True:
        result = node.outputs[0]
        yield str(result.name)
        consumers = [user for user, _ in result.uses()]
        if len(consumers) != 1 or consumers[0].op_type not in _MERGED:
            return
        node = consumers[0]
