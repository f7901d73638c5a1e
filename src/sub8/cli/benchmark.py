"""Commands that measure on this machine: benchmark, quickstart."""

from typing import Annotated

import typer

import sub8
from sub8.cli import options, terminal
from sub8.cli.json_output import print_json


def benchmark(
    model: options.Model,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="FLOAT.onnx", help="Compare with this; default: the file's own float network."
        ),
    ] = None,
    threads: options.Threads = None,
    shape: options.Shape = None,
    batch: Annotated[int, typer.Option(metavar="B", help="Images per call.")] = 1,
    runs: Annotated[int, typer.Option(metavar="R", help="Timed runs of each runtime.")] = 30,
    profile: Annotated[bool, typer.Option("--profile", help="Also time every layer.")] = False,
    as_json: options.Json = False,
) -> None:
    """Time a model beside ONNX Runtime in float32, the runtimes taking turns; medians."""
    with terminal.progress_bars() as progress:
        result = sub8.benchmark(
            model,
            baseline=baseline,
            threads=threads,
            input_shape=options.shapes_from(shape),
            batch=batch,
            runs=runs,
            profile=profile,
            progress=progress,
        )
    if as_json:
        print_json("benchmark", result.to_dict())
        return
    if result.layers:
        terminal.print_table(
            ["layer", "operator", "sub8|", "float32|"],
            [
                [
                    layer.name,
                    layer.operator,
                    terminal.milliseconds(layer.sub8),
                    terminal.milliseconds(layer.float32),
                ]
                for layer in result.layers
            ],
        )
    ours = "" if result.sub8 is None else f"sub8 {terminal.milliseconds(result.sub8)}, "
    faster = "" if result.speedup is None else f" ({result.speedup:.2f}x as fast)"
    terminal.print_line(
        f"{ours}ONNX Runtime float32 {terminal.milliseconds(result.float32)}{faster};"
        f" input {_inputs_told(result.input_shapes)}, {result.threads} threads, median of"
        f" {result.runs}, {result.machine}"
    )


def _inputs_told(shapes: dict[str, tuple[int, ...]]) -> str:
    told = {name: "x".join(map(str, shape)) or "a number" for name, shape in shapes.items()}
    if len(told) == 1:
        return next(iter(told.values()))
    return ", ".join(f"{name} {shape}" for name, shape in told.items())


def quickstart(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER", help="Where the models are written.")
    ] = "quickstart",
    threads: options.Threads = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Quantise EfficientNet-Lite0 (ImageNet) to 8, 4 and ternary bits, verify each file, print one
    table.

    Weights and photographs come from installed packages; nothing is downloaded.
    """
    with terminal.progress_bars() as progress:
        result = sub8.quickstart(output, threads=threads, overwrite=force, progress=progress)
    if as_json:
        print_json("quickstart", result.to_dict())
    else:
        terminal.print_table(
            ["weights", "size|", "latency|", "vs float32|", "as float32|", "mismatches|"],
            [
                [
                    row.name,
                    terminal.megabytes(row.bytes),
                    terminal.milliseconds(row.milliseconds),
                    f"{row.speedup:.2f}x",
                    "-" if row.agreement is None else f"{row.agreement:.0f} ± {row.margin:.0f} %",
                    "-" if row.mismatches is None else str(row.mismatches),
                ]
                for row in result.rows
            ],
        )
        terminal.print_table(
            ["weights", *result.photographs], [[row.name, *row.labels] for row in result.rows]
        )
        terminal.print_line(
            f"as float32: the same likeliest class, on {result.crops} crops of these photographs,"
            " which calibration did not see (±: 95 %, for other photographs); mismatches: with"
            f" ONNX Runtime, on {result.verified} of them"
        )
        for message in result.warnings:
            terminal.print_warning(message)
        terminal.print_line(
            f"latency: one image, {result.threads} threads, medians, all taking turns; float32 in "
            f"ONNX Runtime, {result.machine}"
        )
        terminal.print_line(f"files in {result.folder}; {result.seconds:.0f} s")
    if any(row.mismatches for row in result.rows):
        raise typer.Exit(1)


# With examples of their use.
COMMANDS = {
    benchmark: ("sub8 benchmark resnet50-t4.onnx --threads 2 --profile",),
    quickstart: ("sub8 quickstart --output quickstart/",),
}
