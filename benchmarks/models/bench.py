"""Models that people deploy, quantised to int8 by sub8 and by ONNX Runtime in the same run.

    pip install . && pip install -r benchmarks/models/requirements.txt
    python benchmarks/models/bench.py -o results/

For each: the float islands, the multiplications in integers, the signal-to-noise ratio of every
output on inputs that calibration did not see, and what ``verify`` counts. Every answer is kept as a
file, so that a run goes on where it was; ``--again`` measures anew. ``models.md`` is the table."""

import json
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from sources import SOURCES, Images, Source

import sub8
from sub8.mixed.metric import Power
from sub8.model_file import ModelFile
from sub8.oracle import OnnxRuntime
from sub8.study.peers import quantize_with_onnxruntime

CALIBRATION, HELD_OUT = 16, 16
console = Console(stderr=True)
Arrays = dict[str, NDArray[Any]]


def main(
    output: Annotated[Path, typer.Option("-o", "--output", help="folder of answers and table")],
    only: Annotated[str, typer.Option(help="comma-separated parts of models' names")] = "",
    label: Annotated[str, typer.Option(help="of this state of sub8, in files' names")] = "now",
    peers: Annotated[bool, typer.Option(help="ONNX Runtime's quantiser too")] = True,
    again: Annotated[bool, typer.Option(help="measure what is there anew")] = False,
) -> None:
    """Measure every model that is not there yet, then write the table."""
    output.mkdir(parents=True, exist_ok=True)
    for source in SOURCES:
        if not any(part in source.name for part in only.split(",")):
            continue
        measures = [(label, _with_sub8)]
        if peers:
            measures.append(("onnxruntime", _with_onnxruntime))
        for kind, measure in measures:
            kept = output / f"{source.name.replace(' ', '_')}.{kind}.json"
            if kept.exists() and not again:
                continue
            console.print(f"{source.name}: {kind}")
            try:
                answer = measure(source, output)
            except Exception as error:  # one model must not end the run
                answer = {"error": f"{type(error).__name__}: {str(error)[:300]}"}
            kept.write_text(json.dumps(answer, indent=1))
    (output / "models.md").write_text("\n".join(_table(output)) + "\n")


def _parts(source: Source) -> tuple[Images, Images]:
    images = source.inputs(CALIBRATION + HELD_OUT)
    return images[:CALIBRATION], images[CALIBRATION:]


def _with_sub8(source: Source, folder: Path) -> dict[str, Any]:
    path, (calibration, held_out) = source.path(folder), _parts(source)
    start = time.perf_counter()
    recipe = sub8.Recipe(weights=sub8.Int8(), method="optimal")
    model = sub8.quantize(path, calibration, recipe, images=CALIBRATION)
    seconds = time.perf_counter() - start
    session = model.session()
    name = session.inputs[0]
    expected = OnnxRuntime(path).run_all({name: held_out})
    got = session.run_all({name: held_out})
    checked = sub8.verify(model, held_out[:4])
    return {
        "seconds": seconds,
        "islands": [len(island.nodes) for island in session.plan.islands()],
        "in_integers": _in_integers(model),
        "snr": _ratios(expected, got),
        "mismatches": checked.mismatches,
        "elements": checked.elements,
    }


def _with_onnxruntime(source: Source, folder: Path) -> dict[str, Any]:
    path, (calibration, held_out) = source.path(folder), _parts(source)
    opened = ModelFile.open(path)
    name, target = str(opened.input.name), folder / f"{path.stem}.ort.onnx"
    start = time.perf_counter()
    quantize_with_onnxruntime(path, iter(np.split(calibration, 4)), name, target)
    seconds = time.perf_counter() - start
    expected = OnnxRuntime(path).run_all({name: held_out})
    return {
        "seconds": seconds,
        "snr": _ratios(expected, OnnxRuntime(target).run_all({name: held_out})),
    }


def _in_integers(model: sub8.QuantizedModel) -> float | None:
    """The part of all multiply-accumulates that quantised layers do; None where sizes are open."""
    try:
        report = sub8.inspect(model)
    except sub8.Sub8Error:
        return None
    whole = sum(layer.macs for layer in report.layers if layer.kind != "float")
    return whole / max(report.macs, 1)


def _ratios(expected: Arrays, got: Arrays) -> dict[str, float]:
    """Decibels of every float output."""
    found = {}
    for name, real in expected.items():
        power = Power()
        power.add(real, got[name])
        if power.decibels is not None:
            found[name] = power.decibels
    return found


def _table(folder: Path) -> list[str]:
    lines = [
        "| model | state | seconds | islands | nodes in them | MACs in integers | SNR dB |"
        " mismatches |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for source in SOURCES:
        stem = source.name.replace(" ", "_")
        for path in sorted(folder.glob(f"{stem}.*.json")):
            answer = json.loads(path.read_text())
            kind = path.name.removeprefix(f"{stem}.").removesuffix(".json")
            if "error" in answer:
                lines.append(f"| {source.name} | {kind} | {answer['error'][:80]} | | | | | |")
                continue
            islands = answer.get("islands")
            cells = [
                source.name + ("" if source.trained else " (random weights)"),
                kind,
                f"{answer['seconds']:.0f}",
                "" if islands is None else str(len(islands)),
                "" if islands is None else str(sum(islands)),
                f"{100 * answer['in_integers']:.1f} %" if answer.get("in_integers") else "",
                ", ".join(f"{value:.1f}" for value in answer["snr"].values()),
                f"{answer['mismatches']} of {answer['elements']}" if "elements" in answer else "",
            ]
            lines.append("| " + " | ".join(cells) + " |")
    return lines


if __name__ == "__main__":
    typer.run(main)
