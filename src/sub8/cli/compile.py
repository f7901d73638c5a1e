"""The command ``compile``."""

from typing import Annotated

import typer

import sub8
from sub8.cli import options, terminal
from sub8.cli.json_output import print_json


def compile(
    model: options.QuantizedModel,
    output: options.OutputModel,
    *,
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            metavar="SHAPE",
            help="Sizes of the input, such as 1,3,224,224, or NAME=1,3,224,224;NAME=... for several"
            " inputs (repeatable). Default: the model's own, one image.",
        ),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """Write a quantised model as one file for the runtime without Python (C, C++)."""
    path = output.path(not_over=model)
    shapes = [options.shapes_from(text) or () for text in shape or ()]
    result = sub8.compile(model, path, input_shapes=shapes, overwrite=output.force)
    if as_json:
        print_json("compile", result.to_dict())
        return
    terminal.print_line(f"{result.output}: {terminal.megabytes(result.bytes)}")
    for title, tensors in (("input", result.inputs), ("output", result.outputs)):
        for tensor in tensors:
            terminal.print_line(f"{title} {tensor}")


# With examples of their use.
COMMANDS = {compile: ("sub8 compile resnet50-t4.onnx -o resnet50-t4.s8",)}
