"""Instructions of one run of compiled models on 64-bit ARM, under emulation.

    apt-get install qemu-user gcc g++-aarch64-linux-gnu    # qemu-user-static takes no plugins
    cmake -S . -B build/aarch64 -DSUB8_PYTHON=OFF -DSUB8_THREADS=OFF -DCMAKE_SYSTEM_NAME=Linux \\
        -DCMAKE_SYSTEM_PROCESSOR=aarch64 -DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++
    cmake --build build/aarch64
    python benchmarks/instructions/bench.py build/aarch64 mobilenet_v2.t64.s8

Two runs less one: what each further one takes. Prints the total and the functions with most, and a
checksum of the results, which is the same for every build."""

import hashlib
import subprocess
import tempfile
from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

HERE = Path(__file__).parent
HEADER = HERE.parents[1] / "src" / "sub8" / "native" / "c_api"
C_API = Path("src/sub8/native/c_api")


def compiled(build: Path, folder: Path) -> tuple[Path, Path]:
    """The program that runs a model, and the plugin that counts."""
    program, plugin, main = folder / "run", folder / "count.so", folder / "run.o"
    subprocess.run(
        ["aarch64-linux-gnu-gcc", "-O1", f"-I{HEADER}", "-c", HERE / "run.c", "-o", main],
        check=True,
    )
    library = build / C_API / "libsub8.a"
    subprocess.run(["aarch64-linux-gnu-g++", "-static", main, library, "-o", program], check=True)
    subprocess.run(["gcc", "-O2", "-shared", "-fPIC", HERE / "count.c", "-o", plugin], check=True)
    return program, plugin


def counted(
    program: Path, plugin: Path, cpu: str, model: Path, runs: int, shape: list[str]
) -> tuple[Counter[str], bytes]:
    """Instructions by function of a process with so many runs, and their result."""
    counts, result = program.with_name("counts.txt"), program.with_name("result.raw")
    subprocess.run(
        ["qemu-aarch64", "-cpu", cpu, "-plugin", f"{plugin},out={counts}", program, model, result]
        + [str(runs), *shape],
        check=True,
    )
    lines = (line.split(" ", 1) for line in counts.read_text().splitlines())
    return Counter({symbol: int(count) for count, symbol in lines}), result.read_bytes()


def readable(symbol: str) -> str:
    """A function's name without its arguments."""
    told = subprocess.run(["c++filt", "-p", symbol], check=True, capture_output=True, text=True)
    return told.stdout.strip().replace("(anonymous namespace)::", "")


def main(
    build: Annotated[Path, typer.Argument(help="folder of a build for aarch64")],
    models: Annotated[list[Path], typer.Argument(help="compiled models")],
    shape: Annotated[str, typer.Option(help="of the input")] = "1,3,224,224",
    cpu: Annotated[str, typer.Option(help="that qemu emulates")] = "cortex-a76",
    functions: Annotated[int, typer.Option(help="that are shown of each model")] = 8,
) -> None:
    """Count and print."""
    with tempfile.TemporaryDirectory() as folder:
        program, plugin = compiled(build, Path(folder))
        print("| | million instructions |\n|---|---|")
        for model in models:
            once, first = counted(program, plugin, cpu, model, 1, shape.split(","))
            twice, second = counted(program, plugin, cpu, model, 2, shape.split(","))
            if first != second:
                raise SystemExit(f"{model}: a second run gave other results")
            twice.subtract(once)
            checksum = hashlib.sha256(first).hexdigest()[:12]
            print(f"| {model.name} ({checksum}) | {twice.total() / 1e6:.1f} |")
            for symbol, count in twice.most_common(functions):
                print(f"| {readable(symbol)} | {count / 1e6:.1f} |")


if __name__ == "__main__":
    typer.run(main)
