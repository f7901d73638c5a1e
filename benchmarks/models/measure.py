"""One model quantised by one quantiser: ``python measure.py MODEL QUANTISER FOLDER`` prints JSON.

A process of its own, so that its peak of memory is told and no model can end the run."""

import contextlib
import json
import resource
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sources import SOURCES, Images, Source

import sub8
from sub8.metrics.signals import Power
from sub8.model_file import ModelFile
from sub8.oracle import OnnxRuntime
from sub8.study.peers import quantize_with_onnxruntime

BENCHMARKS = Path(__file__).resolve().parents[1]
# Of all threads; what others do on the machine does not count.
LIMIT_CPU_S = 900
CALIBRATION, HELD_OUT, VERIFIED = 16, 16, 4
# Of random weights, whose quality tells little, fewer inputs and the quicker method do.
FEW = 4
WEIGHTS = {"sub8 int8": sub8.Int8(), "sub8 int4": sub8.Int4(4), "sub8 ternary": sub8.Ternary(4)}
Arrays = Mapping[str, NDArray[Any]]
Run = Callable[[Images], Arrays]


def quantised(source: Source, quantiser: str, folder: Path) -> Path:
    """Where a quantiser's file of a model lies."""
    suffix = ".xml" if quantiser == "NNCF" else ".onnx"
    return folder / "files" / f"{source.stem}.{quantiser.replace(' ', '-')}{suffix}"


def main(name: str, quantiser: str, folder: Path) -> dict[str, Any]:
    """Seconds, CPU seconds, peak memory, signal-to-noise and agreement; of sub8 also what
    ``verify`` and ``inspect`` say.
    """
    source = next(one for one in SOURCES if one.name == name)
    count, held = (CALIBRATION, HELD_OUT) if source.trained else (FEW, FEW)
    images = source.inputs(count + held)
    calibration, held_out = images[:count], images[count:]
    path, target = source.path(folder), quantised(source, quantiser, folder)
    target.parent.mkdir(parents=True, exist_ok=True)
    start, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(sys.stderr):  # some of them print
        QUANTISERS[quantiser](path, calibration, target)
    answer: dict[str, Any] = {
        "seconds": time.perf_counter() - start,
        "cpu_s": time.process_time() - cpu,  # of all threads; what a busy machine says of itself
        "peak_mib": _peak_mib(),
    }
    run, real = _runner(target, quantiser), _onnxruntime(path)
    expected, got = _every(real, held_out), _every(run, held_out)
    answer |= {"snr": _ratios(expected, got), "agreement": source.agreement(expected, got)}
    if quantiser in WEIGHTS:
        answer |= _told(target, held_out[: VERIFIED if source.trained else VERIFIED // 2])
    return answer


def _told(path: Path, images: Images) -> dict[str, Any]:
    checked = sub8.verify(path, images)
    islands = sub8.Session(path).plan.islands()
    found: dict[str, Any] = {
        "islands": [len(island.nodes) for island in islands],
        "mismatches": checked.mismatches,
        "elements": checked.elements,
    }
    with contextlib.suppress(sub8.Sub8Error):  # sizes may be open
        report = sub8.inspect(path, input_shape=images[:1].shape)
        whole = sum(layer.macs for layer in report.layers if layer.kind != "float")
        found["in_integers"] = whole / max(report.macs, 1)
    return found


def _with_sub8(weights: Any) -> Callable[[Path, Images, Path], None]:
    def quantize(path: Path, calibration: Images, target: Path) -> None:
        method = "hessian" if len(calibration) > FEW else "optimal"
        recipe = sub8.Recipe(weights=weights, method=method)
        sub8.quantize(path, calibration, recipe, images=len(calibration)).save(target)

    return quantize


def _with_onnxruntime(path: Path, calibration: Images, target: Path) -> None:
    name = str(ModelFile.open(path).input.name)
    quantize_with_onnxruntime(path, iter(np.split(calibration, len(calibration))), name, target)


def _with_nncf(path: Path, calibration: Images, target: Path) -> None:
    sys.path.append(str(BENCHMARKS))
    from nncf_int8 import quantize_with_nncf

    images = np.split(calibration, len(calibration))
    quantize_with_nncf(path, images, target, images[0].shape)


QUANTISERS: dict[str, Callable[[Path, Images, Path], None]] = {
    **{name: _with_sub8(weights) for name, weights in WEIGHTS.items()},
    "ONNX Runtime": _with_onnxruntime,
    "NNCF": _with_nncf,
}


def _runner(path: Path, quantiser: str) -> Run:
    if quantiser == "NNCF":
        import openvino

        model = openvino.Core().compile_model(path, "CPU")
        names = [sorted(output.names) for output in model.outputs]
        return lambda x: {
            name: value
            for found, value in zip(names, model([x]).values(), strict=True)
            for name in found
        }
    if quantiser in WEIGHTS:
        session = sub8.Session(path)
        return lambda x: session.run_all({session.inputs[0]: x})
    return _onnxruntime(path)


def _onnxruntime(path: Path) -> Run:
    session = OnnxRuntime(path)
    name = str(ModelFile.open(path).input.name)
    return lambda x: session.run_all({name: x})


def _every(run: Run, images: Images) -> dict[str, NDArray[Any]]:
    """All outputs, input by input: some models take one at a time."""
    answers = [run(images[place : place + 1]) for place in range(len(images))]
    return {name: _in_rows([one[name] for one in answers]) for name in answers[0]}


def _in_rows(outputs: list[NDArray[Any]]) -> NDArray[Any]:
    """One row an input, whichever axis of an output counts them."""
    return np.concatenate([one if len(one) == 1 else one[None] for one in outputs])


def _ratios(expected: Arrays, got: Arrays) -> dict[str, float]:
    """Decibels of every float output."""
    found = {}
    for name, real in expected.items():
        if real.dtype.kind != "f":
            continue
        power = Power()
        power.add(real, got[name])
        if power.decibels is not None:
            found[name] = power.decibels
    return found


def _peak_mib() -> float:
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_CPU_S, resource.RLIM_INFINITY))
    print(json.dumps(main(sys.argv[1], sys.argv[2], Path(sys.argv[3]))))
