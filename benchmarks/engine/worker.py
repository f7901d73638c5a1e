"""One runtime in a process of its own: loads one model, then times inferences on demand.

Started by ``bench.py`` as ``python worker.py RUNTIME MODEL THREADS SHAPE``. Speaks one JSON value a
line: after loading ``{"import_mib", "load_s", "first_s", "cpu_s"}`` (the last of both), then for
each ``N`` read from standard input a list of N seconds, and on the end of input ``{"peak_mib"}``.
Nothing but the runtime at hand is imported, so that peak memory is the runtime's own.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Run = Callable[[NDArray[np.float32]], object]


def load_sub8(path: str, threads: int) -> Callable[[], Run]:
    from sub8.engine.session import Session

    def load() -> Run:
        session = Session(path, threads=threads)
        (name,) = session.inputs
        return lambda x: session.run_all({name: x})

    return load


def load_onnxruntime(path: str, threads: int) -> Callable[[], Run]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1

    def load() -> Run:
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        return lambda x: session.run(None, {name: x})

    return load


def load_openvino(path: str, threads: int) -> Callable[[], Run]:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}

    def load() -> Run:
        request = core.compile_model(path, "CPU", settings).create_infer_request()
        return lambda x: request.infer([x], share_inputs=True, share_outputs=True)

    return load


def load_nothing(path: str, threads: int) -> Callable[[], Run]:
    """Python and NumPy alone: what every runtime's process holds besides the runtime."""
    return lambda: lambda x: x


RUNTIMES = {
    "sub8": load_sub8,
    "onnxruntime": load_onnxruntime,
    "openvino": load_openvino,
    "none": load_nothing,
}


def peak_mib() -> float:
    """VmHWM, not ru_maxrss: the latter keeps the parent's peak across exec."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def main() -> None:
    runtime, path, threads, shape = sys.argv[1:]
    # Runtimes print banners: they go to standard error, the answers keep the true standard output.
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    x = np.random.default_rng(0).standard_normal(json.loads(shape)).astype(np.float32)
    load = RUNTIMES[runtime](path, int(threads))
    imported = peak_mib()
    start, cpu = time.perf_counter(), time.process_time()
    run = load()
    loaded = time.perf_counter()
    run(x)
    first = time.perf_counter()
    ready = {
        "import_mib": imported,
        "load_s": loaded - start,
        "first_s": first - loaded,
        "cpu_s": time.process_time() - cpu,
    }
    print(json.dumps(ready), file=answers)
    for line in sys.stdin:
        seconds = []
        for _ in range(int(line)):
            start = time.perf_counter()
            run(x)
            seconds.append(time.perf_counter() - start)
        print(json.dumps(seconds), file=answers)
    print(json.dumps({"peak_mib": peak_mib()}), file=answers)


if __name__ == "__main__":
    main()
