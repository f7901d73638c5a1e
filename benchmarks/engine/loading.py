"""Load and first run of a compiled model beside another tool's int8 file: time, memory, in C too.

    pip install . && pip install onnxruntime
    cmake -S . -B build/library -DSUB8_PYTHON=OFF && cmake --build build/library
    python benchmarks/engine/loading.py resnet50-t64.s8 resnet50.int8.onnx \\
        --library build/library/library

Prints a table: medians (and the least) over rounds that go over all candidates in turn, each in a
process of its own. Imports are not counted. Time of the processors is told beside the clock's,
which on a busy machine is mostly waiting."""

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Annotated

import typer

HERE = Path(__file__).parent
HEADER = HERE.parents[1] / "src" / "sub8" / "native" / "c_api"
Figures = dict[str, float]  # seconds of processors and clock, MiB


def in_python(runtime: str, model: Path, threads: int, shape: list[int]) -> Figures:
    """Of ``worker.py``."""
    command = [sys.executable, str(HERE / "worker.py"), runtime, str(model), str(threads)]
    ended = subprocess.run(
        [*command, json.dumps(shape)], input="", capture_output=True, text=True, check=True
    )
    ready, last = map(json.loads, ended.stdout.splitlines())
    clock = ready["load_s"] + ready["first_s"]
    return {"cpu": ready["cpu_s"], "clock": clock, "peak": last["peak_mib"]}


def in_c(program: Path, model: Path, threads: int, shape: list[int]) -> Figures:
    """Of ``loading.c``. GNU time tells the peak."""
    command = ["/usr/bin/time", "-f", "%M", str(program), str(model), str(threads)]
    ended = subprocess.run([*command, *map(str, shape)], capture_output=True, text=True, check=True)
    told = json.loads(ended.stdout)
    return {"cpu": told["cpu_s"], "clock": told["clock_s"], "peak": int(ended.stderr) / 1024}


def compiled(library: Path, folder: str) -> Path:
    """``loading.c`` with libsub8."""
    program = Path(folder) / "loading"
    subprocess.run(
        ["cc", "-O1", str(HERE / "loading.c"), f"-I{HEADER}", f"-L{library}", "-lsub8",
         f"-Wl,-rpath,{library.resolve()}", "-o", str(program)],
        check=True,
    )  # fmt: skip
    return program


def main(
    model: Annotated[Path, typer.Argument(help="a compiled model")],
    beside: Annotated[Path, typer.Argument(help="another tool's file for ONNX Runtime")],
    library: Annotated[Path, typer.Option(help="folder of libsub8.so")],
    shape: Annotated[str, typer.Option(help="of the input")] = "1,3,224,224",
    rounds: Annotated[int, typer.Option(help="over all candidates")] = 9,
) -> None:
    """Measure and print."""
    sizes = [int(size) for size in shape.split(",")]
    found: dict[str, list[Figures]] = {}
    with tempfile.TemporaryDirectory() as folder:
        program = compiled(library, folder)
        for _ in range(rounds):
            for threads in (1, 2):
                figures = {
                    "sub8, C": in_c(program, model, threads, sizes),
                    "sub8, Python": in_python("sub8", model, threads, sizes),
                    "ONNX Runtime, Python": in_python("onnxruntime", beside, threads, sizes),
                }
                for name, figure in figures.items():
                    found.setdefault(f"{name}, threads {threads}", []).append(figure)
    print("| | processors, ms (least) | clock, ms (least) | peak, MiB |\n|---|---|---|---|")
    for name, all_of in found.items():
        cells = []
        for what in ("cpu", "clock"):
            times = [1e3 * figure[what] for figure in all_of]
            cells.append(f"{statistics.median(times):.1f} ({min(times):.1f})")
        peak = statistics.median(figure["peak"] for figure in all_of)
        print(f"| {name} | {cells[0]} | {cells[1]} | {peak:.1f} |")


if __name__ == "__main__":
    typer.run(main)
