"""The command run: a model's answers to images and other data."""

import io
from pathlib import Path
from typing import Annotated, Any

import typer

import sub8
from sub8.cli import options, terminal
from sub8.cli.json_output import print_json
from sub8.errors import InputError


def run(
    model: options.Model,
    data: Annotated[
        list[str] | None,
        typer.Argument(metavar="DATA...", help="Image files or other data.", show_default=False),
    ] = None,
    *,
    inputs: options.Inputs = None,
    task: Annotated[
        str, typer.Option(metavar="NAME", help="classify, detect, segment or outputs.")
    ] = "classify",
    threshold: Annotated[
        float, typer.Option(metavar="P", help="detect: the least score of a box, 0..1.")
    ] = 0.25,
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            metavar="PATH",
            help="detect, segment: a folder for pictures of the answers. outputs: the .npz to"
            " write.",
        ),
    ] = None,
    force: options.Force = False,
    preprocess: options.PreprocessText = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Print the five likeliest labels of every image, or what --task names."""
    sources: list[Any] = list(data or ())
    if inputs or not sources:
        sources = [options.data_source(sources[0] if sources else None, inputs, "DATA")]
    how: dict[str, Any] = {"preprocess": options.preprocess_from(preprocess), "threads": threads}
    if task not in ("classify", "detect", "segment", "outputs"):
        raise InputError(f"task {task!r} unknown; use classify, detect, segment or outputs")
    if task == "classify":
        if output is not None:
            raise InputError("--output is for the tasks detect, segment and outputs")
        _classify(model, sources, how, as_json)
    elif task == "outputs":
        _write_outputs(model, sources, how, output, force, as_json)
    else:
        found: list[Any] = []
        for source in sources:
            if task == "detect":
                found += sub8.detect(model, source, threshold=threshold, **how)
            else:
                found += sub8.segment(model, source, **how)
        pictures = _pictures(found, output, force)
        _print_found(task, found, pictures, as_json)


def _classify(model: str, sources: list[Any], how: dict[str, Any], as_json: bool) -> None:
    from sub8.verbs.classify import classify

    results = [prediction for source in sources for prediction in classify(model, source, **how)]
    if as_json:
        print_json("run", {"predictions": [prediction.to_dict() for prediction in results]})
        return
    for prediction in results:
        terminal.print_line(prediction.name)
        for score in prediction.top:
            terminal.print_line(
                f"  {score.label:<30} {score.logit:10.3f}  {terminal.per_cent(score.probability)}"
            )


def _write_outputs(
    model: str,
    sources: list[Any],
    how: dict[str, Any],
    output: str | None,
    force: bool,
    as_json: bool,
) -> None:
    from sub8.data.arrays import packed
    from sub8.files import write_file
    from sub8.verbs.predict import predict_all

    if len(sources) != 1:
        raise InputError("--task outputs takes one DATA")
    if output is None or not output.endswith(".npz"):
        raise InputError("--task outputs needs -o FILE.npz")
    path = options.output_path(output, force=force)
    found = predict_all(model, sources[0], **how)
    write_file(path, packed(found), overwrite=force)
    shapes = {name: list(array.shape) for name, array in found.items()}
    if as_json:
        print_json("outputs", {"output": str(path), "shapes": shapes})
        return
    for name, shape in shapes.items():
        terminal.print_line(f"{name} {'x'.join(map(str, shape)) or 'number'}")
    terminal.print_line(f"{path}: written")


def _pictures(found: list[Any], output: str | None, force: bool) -> list[str]:
    """Where each answer's picture was written; none without a folder."""
    if output is None:
        return []
    from sub8.files import write_file

    folder = Path(output)
    folder.mkdir(parents=True, exist_ok=True)
    names = [Path(answer.name).stem for answer in found]
    if len(set(names)) < len(names):
        names = [f"{place}-{name}" for place, name in enumerate(names)]
    written = []
    for name, answer in zip(names, found, strict=True):
        encoded = io.BytesIO()
        answer.picture().save(encoded, "PNG")
        path = folder / f"{name}.png"
        write_file(path, encoded.getvalue(), overwrite=force)
        written.append(str(path))
    return written


def _print_found(task: str, found: list[Any], pictures: list[str], as_json: bool) -> None:
    if as_json:
        print_json(task, {"found": [one.to_dict() for one in found], "pictures": pictures})
        return
    for answer in found:
        terminal.print_line(answer.name)
        if isinstance(answer, sub8.Detection):
            for label, box in zip(answer.labels, answer.boxes, strict=True):
                corners = ", ".join(f"{x:.0f}" for x in (box.left, box.top, box.right, box.bottom))
                terminal.print_line(f"  {label:<30} {terminal.per_cent(box.score)}  [{corners}]")
        else:
            for label, part in answer.parts.items():
                terminal.print_line(f"  {label:<30} {terminal.per_cent(part)} of its pixels")
    for path in pictures:
        terminal.print_line(f"{path}: written")


# With examples of its use.
COMMANDS = {
    run: (
        "sub8 run resnet50-t4.onnx cat.jpg dog.jpg",
        "sub8 run yolo.onnx street.jpg --task detect -o found/",
    ),
}
