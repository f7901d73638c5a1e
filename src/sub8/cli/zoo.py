"""The command zoo."""

from typing import Annotated

import typer

from sub8.cli import options, terminal
from sub8.cli.json_output import print_json
from sub8.errors import InputError


def zoo(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Such as resnet50; a wrong name lists all.", show_default=False
        ),
    ],
    output: options.OutputModel,
    size: Annotated[
        int, typer.Option(metavar="PIXELS", help="Height and width of the input.")
    ] = 224,
    classes: Annotated[int, typer.Option(metavar="C", help="Classes of the last layer.")] = 1000,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the random weights.")] = 0,
    as_json: options.Json = False,
) -> None:
    """Write a known architecture with random weights: for counting, timing and file sizes."""
    from sub8.graph.write import write_model
    from sub8.zoo import build

    if size < 1 or classes < 1 or seed < 0:
        raise InputError(
            f"size ({size}) and classes ({classes}) must be at least 1, seed ({seed}) at least 0"
        )
    target = output.path()
    write_model(build(name, seed=seed, size=size, classes=classes), target, overwrite=output.force)
    result = {"output": str(target), "bytes": target.stat().st_size}
    if as_json:
        print_json("zoo", result)
    else:
        terminal.print_line(f"{target}: {terminal.megabytes(target.stat().st_size)}")


# With examples of their use.
COMMANDS = {
    zoo: ("sub8 zoo resnet101 -o r101.onnx",),
}
