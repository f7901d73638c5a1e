"""Int8 files in several runtimes by turns: times of the processor, and top-1 on images.

    pip install . && pip install -r benchmarks/export/requirements.txt
    python benchmarks/export/int8.py onnxruntime=r20-t4.onnx-int8.onnx onnxruntime=r20-ort.onnx \\
        openvino=r20-t4.onnx-int8.onnx openvino=r20-nncf.onnx sub8=r20-ort.onnx sub8=r20-t4.onnx \\
        --data cifar10-test.parquet --images 1000 --like cifar10-resnet20.onnx

All in one process and on one thread, an image at a time, in turns, so that a slow spell of the
machine meets all. Times are the processor's: on a busy machine the clock's are mostly waiting.
Prints a table: median and least time, top-1."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray

import sub8
from sub8.data import load_batches, open_dataset
from sub8.model_file import ModelFile

Run = Callable[[NDArray[np.float32]], NDArray[Any]]


def in_sub8(path: str) -> Run:
    session = sub8.Session(path, threads=1)
    return lambda x: session.run(x)


def in_onnxruntime(path: str) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda x: session.run(None, {name: x})[0]


def in_openvino(path: str) -> Run:
    import openvino

    core = openvino.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
    request = core.compile_model(path, "CPU", settings).create_infer_request()
    return lambda x: np.array(next(iter(request.infer([x]).values())))


RUNTIMES = {"sub8": in_sub8, "onnxruntime": in_onnxruntime, "openvino": in_openvino}


def main(
    candidates: Annotated[list[str], typer.Argument(help="RUNTIME=FILE, of one input each")],
    data: Annotated[Path, typer.Option(help="labelled images")],
    like: Annotated[Path, typer.Option(help="the float model, which says how to prepare them")],
    images: Annotated[int, typer.Option(help="for top-1")] = 1000,
    turns: Annotated[int, typer.Option(help="timed runs of each")] = 50,
) -> None:
    """Time, count, print."""
    pairs = [candidate.split("=", 1) for candidate in candidates]
    runs = [RUNTIMES[runtime](path) for runtime, path in pairs]
    dataset = open_dataset(str(data)).select(f"0:{images}")
    preprocess = ModelFile.open(like).preprocess
    right, seen = [0] * len(runs), 0
    times: list[list[float]] = [[] for _ in runs]
    for batch, labels in load_batches(dataset, preprocess, batch=1):
        for index, run in enumerate(runs):
            start = time.process_time()
            result = run(batch)
            if seen < turns:
                times[index].append(1e3 * (time.process_time() - start))
            right[index] += int(result.argmax(-1).ravel()[0] == np.asarray(labels).ravel()[0])
        seen += 1
    print(f"| {seen} images | median, ms | least, ms | top-1, % |\n|---|---|---|---|")
    for (runtime, path), taken, count in zip(pairs, times, right, strict=True):
        del taken[:3]  # caches, lazy preparation
        name = f"{runtime} {Path(path).stem}"
        cells = [f"{np.median(taken):.2f}", f"{min(taken):.2f}", f"{100 * count / seen:.1f}"]
        print(f"| {name} | {' | '.join(cells)} |")


if __name__ == "__main__":
    typer.run(main)
