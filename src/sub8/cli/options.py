"""Options that several commands share."""

from typing import Annotated

import typer

Images = Annotated[
    str | None,
    typer.Option("--images", metavar="K|START:END", help="Only the first K images, or a range."),
]
PreprocessText = Annotated[
    str | None,
    typer.Option(
        "--preprocess",
        metavar="FILE|OPTIONS",
        help="A JSON file, or e.g. 'resize=256 size=224 scale=1/255 mean=0.485,0.456,0.406"
        " std=0.229,0.224,0.225'. Default: the model's own metadata.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="T", help="Threads; default: the processors at hand."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]
FloatModel = Annotated[
    str, typer.Argument(metavar="MODEL.onnx", help="A float model.", show_default=False)
]
OutputModel = Annotated[
    str, typer.Option("--output", "-o", metavar="OUT.onnx", help="The file to write.")
]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="KIND", help="int8 (default), int4 or ternary: smaller, and less accurate."
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(metavar="N|all", help="Input channels that share a scale. Default: 4; int8: all."),
]
RecipeFile = Annotated[
    str | None,
    typer.Option(metavar="FILE.toml", help="A recipe; the other options go before it."),
]
Batch = Annotated[int, typer.Option(metavar="B", help="Images per call.")]
TargetName = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="NAME",
        help="onnx (smallest), onnx-opset21 (no 2-bit types), onnx-plain (any runtime).",
    ),
]
