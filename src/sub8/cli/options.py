"""Options that several commands share."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from sub8.errors import InputError
from sub8.files import check_writable

if TYPE_CHECKING:
    from sub8.data.preprocess import Preprocess

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
Inputs = Annotated[
    list[str] | None,
    typer.Option(
        "--input",
        metavar="NAME=DATA",
        help="Data of one input of several, once for each; or DATA is an .npz of all by name.",
    ),
]
Threads = Annotated[
    int | None,
    typer.Option("--threads", metavar="T", help="Threads; default: the processors at hand."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else on stdout.")]
Model = Annotated[
    str, typer.Argument(metavar="MODEL.onnx", help="An ONNX model.", show_default=False)
]
Data = Annotated[
    str | None,
    typer.Argument(
        metavar="DATA",
        help="A folder of class folders, a .parquet with image and label, .npz or .npy arrays, or"
        " one image.",
        show_default=False,
    ),
]
Shape = Annotated[
    str | None,
    typer.Option(
        "--input-shape",
        metavar="B,C,H,W",
        help="Default: what the model declares. Of several inputs: a=1,3,8,8;b=1,5.",
    ),
]
QuantizedModel = Annotated[
    str, typer.Argument(metavar="Q.onnx", help="A quantised model.", show_default=False)
]
FloatModel = Annotated[
    str, typer.Argument(metavar="MODEL.onnx", help="A float model.", show_default=False)
]
Force = Annotated[
    bool,
    typer.Option("--force", help="Replace a file that is there. Models of sub8's own always are."),
]
Batch = Annotated[int, typer.Option(metavar="B", help="Images per call.")]
TargetName = Annotated[
    str,
    typer.Option(
        "--target",
        metavar="NAME",
        help="onnx (smallest), onnx-opset21 (no 2-bit types), onnx-plain (any runtime),"
        " onnx-int8 (int8 kernels, not exact), onnx-int8-reduced (7 bits, for CPUs without VNNI),"
        " openvino, openvino-int8 (NAME.xml).",
    ),
]


@dataclass(frozen=True)
class OutputModel:
    """The model to write."""

    output: Annotated[
        str, typer.Option("--output", "-o", metavar="OUT.onnx", help="The file to write.")
    ]
    force: Force = False

    def path(self, *, not_over: str | None = None) -> Path:
        """See ``output_path``."""
        return output_path(self.output, force=self.force, not_over=not_over)


class Selected(TypedDict):
    """Arguments of a verb."""

    images: str | None
    preprocess: "Preprocess | None"


@dataclass(frozen=True)
class Selection:
    """Which samples, and how their images are prepared."""

    images: Images = None
    preprocess: PreprocessText = None

    def selected(self) -> Selected:
        return {"images": self.images, "preprocess": preprocess_from(self.preprocess)}


@dataclass(frozen=True)
class Samples(Selection):
    """What a model is run on."""

    data: Data = None
    inputs: Inputs = None

    def source(self) -> "str | dict[str, str]":
        return data_source(self.data, self.inputs, "DATA")


def data_source(data: str | None, inputs: list[str] | None, what: str) -> "str | dict[str, str]":
    """What ``open_inputs`` takes: the one source, or the inputs' by name. what: how the one is
    given.
    """
    if inputs and data is not None:
        raise InputError(f"give either {what} or --input, not both")
    if not inputs:
        if data is None:
            raise InputError(f"no data: give {what}, or --input NAME=DATA for each input")
        return data
    found: dict[str, str] = {}
    for text in inputs:
        name, equals, source = text.partition("=")
        if not (name and equals and source):
            raise InputError(f"--input {text!r} must be NAME=DATA")
        if name in found:
            raise InputError(f"--input {name!r} is given twice")
        found[name] = source
    return found


def output_path(text: str, *, force: bool, not_over: str | None = None) -> Path:
    """Where to write, checked before the long work starts. not_over: the source, which is not
    replaced with ``force`` either.
    """
    target = Path(text)
    if (
        not_over is not None
        and target.exists()
        and Path(not_over).exists()
        and target.samefile(not_over)
    ):
        raise InputError(f"{target}: would overwrite the source model")
    check_writable(target, overwrite=force)
    return target


def preprocess_from(text: str | None) -> "Preprocess | None":
    """What the option ``--preprocess`` says. Raises InputError."""
    from sub8.data.preprocess import Preprocess

    return None if text is None else Preprocess.from_option(text)


def shapes_from(text: str | None) -> "tuple[int, ...] | dict[str, tuple[int, ...]] | None":
    """What the options ``--input-shape`` and ``--shape`` say. Raises InputError."""
    if text is None:
        return None
    if "=" not in text:
        return _shape(text)
    parts = [part.rpartition("=") for part in text.split(";")]
    return {name.strip(): _shape(shape) for name, _, shape in parts}


def _shape(text: str) -> tuple[int, ...]:
    parts = text.replace("x", ",").split(",")
    if not all(re.fullmatch(" *0*[1-9][0-9]{0,8} *", part) for part in parts):
        raise InputError(
            f"input shape {text!r} must be whole numbers of at least 1, such as 1,3,224,224"
        )
    return tuple(int(part) for part in parts)
