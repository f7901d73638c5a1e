"""The command ``export``."""

from typing import Annotated

import typer

import sub8
from sub8.cli import options, terminal
from sub8.cli.json_output import print_json


def export(
    model: options.QuantizedModel,
    target: options.TargetName,
    output: options.OutputModel,
    *,
    data: Annotated[
        str | None,
        typer.Option(
            "--data", metavar="DATA", help="Samples to compare on. Default: random inputs."
        ),
    ] = None,
    selection: options.Selection,
    check: Annotated[
        bool, typer.Option("--check", help="Run the file in every runtime that is installed.")
    ] = False,
    python: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATH",
            help="With --check: another Python interpreter, with runtimes of its own (repeatable).",
        ),
    ] = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Write a quantised model in the form that another runtime takes, compared with the engine
    first.
    """
    path = output.path(not_over=model)
    result = sub8.export(
        model,
        target,
        path,
        data=data,
        **selection.selected(),
        check=check,
        pythons=python or (),
        threads=threads,
        overwrite=output.force,
    )
    if as_json:
        print_json("export", result.to_dict())
        return
    terminal.print_line(f"{result.output}: {terminal.megabytes(result.bytes)}")
    print_export(result)


def check_target(name: str) -> None:
    """Raise InputError where there is no such target, before long work starts."""
    if name != "onnx":  # known without the room's imports
        from sub8.targets import find_target

        find_target(name)


def print_export(result: "sub8.Export") -> None:
    """How the exported form compares."""
    same = "" if result.same_top1 is None else f", top-1 the same on {result.same_top1}"
    terminal.print_line(
        f"target {result.target}: {result.differing} of {result.elements} output elements differ "
        f"from the engine's on {result.images} images (largest difference {result.largest:.3g})"
        + same
    )
    for note in result.notes:
        terminal.print_line(note)
    if not result.runtimes:
        return
    terminal.print_table(
        ["runtime", "version", "loads", "differing|", "largest|", "time|", "vs sub8|"],
        [
            [
                check.runtime,
                check.version,
                check.error or "yes",
                "-" if check.error else f"{check.differing} of {check.elements}",
                "-" if check.error else f"{check.largest:.3g}",
                terminal.milliseconds(check.milliseconds),
                "-" if check.ratio is None else f"{check.ratio:.1f}x",
            ]
            for check in result.runtimes
        ],
    )


# With examples of their use.
COMMANDS = {
    export: ("sub8 export resnet50-t4.onnx --target onnx-plain -o resnet50-plain.onnx --check",),
}
