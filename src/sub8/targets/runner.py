"""One model in one runtime: a program of its own, so that whatever a runtime does ends nothing
else.

    python runner.py RUNTIME MODEL INPUTS.npz OUTPUTS.npz REPEATS THREADS

It prints one line of JSON, the last: the runtime's version, and milliseconds of one run (the
median), or ``error``. ``{"missing": true}``: the runtime is not installed. It needs NumPy and the
runtime only, so any Python runs it, whether sub8 is installed there or not.
"""

import importlib.util
import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

import numpy as np

Arrays = dict[str, Any]
Run = Callable[[Arrays], list[Any]]  # outputs in the graph's order


def _onnxruntime(path: str, inputs: Arrays, threads: int, optimise: bool = True) -> Run:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads
    if not optimise:
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda x: session.run(None, x)


def _onnxruntime_plain(path: str, inputs: Arrays, threads: int) -> Run:
    return _onnxruntime(path, inputs, threads, optimise=False)


def _openvino(path: str, inputs: Arrays, threads: int) -> Run:
    import openvino as ov

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32"}
    core = ov.Core()
    compiled = core.compile_model(core.read_model(path), "CPU", settings)

    def run(x: Arrays) -> list[Any]:
        results = compiled(x)
        return [results[port] for port in compiled.outputs]

    return run


def _tract(path: str, inputs: Arrays, threads: int) -> Run:
    import tract  # type: ignore[import-not-found]

    model = tract.onnx().load(path)
    names = [model.input_name(index) for index in range(model.input_count())]
    for index, name in enumerate(names):
        sizes = ",".join(map(str, inputs[name].shape))
        model.set_input_fact(index, f"{sizes},f32")
    for index in range(model.output_count()):
        model.set_output_fact(index, None)
    runnable = model.into_model().into_runnable()

    return lambda x: [out.to_numpy() for out in runnable.run([x[name] for name in names])]


def _tvm(path: str, inputs: Arrays, threads: int) -> Run:
    import onnx
    import tvm  # type: ignore[import-not-found]
    from tvm import relax
    from tvm.relax.frontend.onnx import from_onnx  # type: ignore[import-not-found]

    model = onnx.load(path)
    module = from_onnx(model, shape_dict={name: list(x.shape) for name, x in inputs.items()})
    module = relax.get_pipeline("zero")(module)
    built = relax.build(module, target=tvm.target.Target("llvm"))
    machine = relax.VirtualMachine(built, tvm.cpu())
    names = [value.name for value in model.graph.input]

    def run(x: Arrays) -> list[Any]:
        results = machine["main"](*(tvm.runtime.tensor(x[name]) for name in names))
        return [part.numpy() for part in ([results] if hasattr(results, "numpy") else results)]

    return run


def _reference(path: str, inputs: Arrays, threads: int) -> Run:
    from onnx.reference import ReferenceEvaluator

    evaluator = ReferenceEvaluator(path)
    return lambda x: list(evaluator.run(None, x))


# Name: package that must be installed, its distribution, and how to load a model.
RUNTIMES: dict[str, tuple[str, str, Callable[[str, Arrays, int], Run]]] = {
    "onnxruntime": ("onnxruntime", "onnxruntime", _onnxruntime),
    "onnxruntime, not optimised": ("onnxruntime", "onnxruntime", _onnxruntime_plain),
    "openvino": ("openvino", "openvino", _openvino),
    "tract": ("tract", "tract", _tract),
    "tvm": ("tvm", "apache-tvm", _tvm),
    "onnx reference": ("onnx", "onnx", _reference),
}


def measure(runtime: str, path: str, inputs: Arrays, repeats: int, threads: int) -> dict[str, Any]:
    """Run the model; what is printed, and the outputs under ``outputs`` where it runs."""
    package, distribution, load = RUNTIMES[runtime]
    if importlib.util.find_spec(package) is None:
        return {"missing": True}
    found: dict[str, Any] = {"version": version(distribution)}
    try:
        run = load(path, inputs, threads)
        found["outputs"] = run(inputs)
        times = []
        for _ in range(repeats):
            start = time.perf_counter()
            run(inputs)
            times.append(1e3 * (time.perf_counter() - start))
        found["milliseconds"] = float(np.median(times)) if times else None
    except BaseException as error:  # whatever a runtime raises, panics of other languages too
        found["error"] = " ".join(f"{type(error).__name__}: {error}".split())
    return found


def main(arguments: list[str]) -> None:
    """See the module."""
    runtime, path, inputs, outputs, repeats, threads = arguments
    found = measure(runtime, path, dict(np.load(inputs)), int(repeats), int(threads))
    results = found.pop("outputs", None)
    if results is not None:
        np.savez(outputs, *results)
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
