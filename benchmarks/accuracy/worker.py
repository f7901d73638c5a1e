"""One point in a process of its own: ``python worker.py TASK`` with JSON in, one line of JSON out.

Started by ``bench.py``. Times and peak memory are those of quantising; evaluation comes after.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from points import FLOAT, NEAREST, NNCF, ONNXRUNTIME

from sub8.data import load_batches, open_dataset
from sub8.model_file import ModelFile
from sub8.oracle import OnnxRuntime
from sub8.study.peers import quantize_with_onnxruntime
from sub8.study.point import Setting, Task, measure_quantised
from sub8.verbs.evaluate import measure_accuracy
from sub8.verbs.quantize import quantize
from sub8.verbs.run import Run, Runner

BENCHMARKS = Path(__file__).resolve().parents[1]


class Cost:
    """Wall and processor seconds (all threads) since it was made, and the process's peak memory."""

    def __init__(self) -> None:
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def figures(self) -> dict[str, float]:
        # VmHWM, not ru_maxrss: the latter keeps the parent's peak across exec.
        status = Path("/proc/self/status").read_text()
        return {
            "seconds": time.perf_counter() - self._wall,
            "processor_seconds": time.process_time() - self._processor,
            "peak_mib": int(status.split("VmHWM:")[1].split()[0]) / 1024,
        }


def measure_own(task: Task, method: str) -> dict[str, Any]:
    """A method of sub8, or rounding to nearest, on the integer engine."""
    cost = Cost()
    if method == NEAREST:
        from nearest import round_to_nearest

        quantised = round_to_nearest(task)
    else:
        quantised = quantize(
            task.model,
            task.calibration,
            task.setting.recipe(),
            images=task.calibration_images,
            threads=task.threads,
        )
    spent = cost.figures()
    point, _ = measure_quantised(quantised, task, spent["seconds"])
    kept = ("top1", "top5", "images", "replaced", "mean_bits", "bytes", "mismatches")
    return {**{name: getattr(point, name) for name in kept}, **spent}


class OpenVino:
    """A compiled OpenVINO model as a runner."""

    def __init__(self, model: Any, threads: int):
        import openvino

        compiled = openvino.Core().compile_model(model, "CPU", {"INFERENCE_NUM_THREADS": threads})
        self._request = compiled.create_infer_request()

        self.outputs = ("logits",)

    def run_all(self, x: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        return {"logits": np.array(self._request.infer(list(x.values()))[0])}


def with_float(task: Task, folder: Path) -> tuple[Callable[[], Runner], Path]:
    path = Path(task.model)
    return lambda: OnnxRuntime(path, threads=task.threads), path


def with_onnxruntime(task: Task, folder: Path) -> tuple[Callable[[], Runner], Path]:
    """ONNX Runtime's static quantisation with its own default ranges (min-max)."""
    opened, out = ModelFile.open(task.model), folder / "int8.onnx"
    quantize_with_onnxruntime(
        Path(task.model), iter(_calibration(task)), str(opened.input.name), out
    )
    return lambda: OnnxRuntime(out, threads=task.threads), out


def with_nncf(task: Task, folder: Path) -> tuple[Callable[[], Runner], Path]:
    """NNCF's int8, run by OpenVINO."""
    sys.path.append(str(BENCHMARKS))
    from nncf_int8 import quantize_with_nncf

    out = folder / "int8.xml"
    quantised = quantize_with_nncf(Path(task.model), _calibration(task), out)
    return lambda: OpenVino(quantised, task.threads), out.with_suffix(".bin")


PEERS = {FLOAT: with_float, ONNXRUNTIME: with_onnxruntime, NNCF: with_nncf}


def measure_peer(task: Task, name: str) -> dict[str, Any]:
    """Another program's quantisation, on its own runtime."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        cost = Cost()
        open_runner, weights = PEERS[name](task, folder)
        spent = cost.figures()
        opened = ModelFile.open(task.model)
        test = open_dataset(task.data, opened.labels).select(task.images)
        accuracy = measure_accuracy(Run(opened, open_runner(), test))
        return {**accuracy.to_dict(), "bytes": weights.stat().st_size, **spent}


def _calibration(task: Task) -> list[NDArray[np.float32]]:
    opened = ModelFile.open(task.model)
    images = open_dataset(task.calibration, opened.labels).select(task.calibration_images)
    return [x for x, _ in load_batches(images, opened.preprocess, batch=1)]


def main() -> None:
    # Programs print banners: they go to standard error, the answer keeps the true standard output.
    answer = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    asked = json.loads(sys.argv[1])
    method, peer = asked.pop("method"), asked["cluster"] is None
    # Rounding to nearest is no method of a recipe: all but the integers is as with "optimal".
    setting = Setting(
        asked.pop("weights"),
        asked.pop("cluster") or "all",
        "optimal" if method == NEAREST else method,
    )
    task = Task(setting=setting, preprocess=None, **asked)
    figures = measure_peer(task, method) if peer else measure_own(task, method)
    print(json.dumps(figures), file=answer, flush=True)


if __name__ == "__main__":
    main()
