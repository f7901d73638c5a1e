"""Commands that judge a model on data: evaluate, verify."""

from typing import Annotated, Any

import typer

import sub8
from sub8.cli import options, terminal
from sub8.cli.json_output import print_json
from sub8.errors import InputError


def evaluate(
    model: options.Model,
    *,
    samples: options.Samples,
    metric: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="top1 (also top-5; labels in DATA), map50, miou, text, cosine or error (with"
            " --labels).",
        ),
    ] = "top1",
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="COCO's JSON of boxes, a folder of PNG masks, lines of file name, tab and text, or"
            " an .npy of rows.",
        ),
    ] = None,
    threads: options.Threads = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="sub8 or onnxruntime. Default: sub8 for quantised models."
        ),
    ] = None,
    batch: options.Batch = 32,
    as_json: options.Json = False,
) -> None:
    """Measure a model by labels: top-1 and top-5 accuracy in per cent, or what --metric names."""
    if (labels is None) != (metric == "top1"):
        raise InputError(
            "--labels is for metrics other than top1, whose labels are in DATA"
            if metric == "top1"
            else f"--metric {metric} needs --labels FILE"
        )
    with terminal.progress_bars() as progress:
        how: dict[str, Any] = {
            **samples.selected(), "threads": threads, "runtime": runtime, "batch": batch,
            "progress": progress,
        }  # fmt: skip
        if labels is not None:
            score = sub8.score(model, samples.source(), metric, labels, **how)
        else:
            result = sub8.evaluate(model, samples.source(), **how)
    if labels is not None:
        _print_score(score, as_json)
    elif as_json:
        print_json("evaluate", result.to_dict())
    else:
        few = "; few images: small differences mean nothing" if result.few else ""
        terminal.print_line(
            f"top-1 {result.top1:.2f} ± {result.top1_margin:.2f} %, top-5 {result.top5:.2f} ±"
            f" {result.top5_margin:.2f} %, {result.images} images (±: 95 % confidence{few})"
        )


def _print_score(score: "sub8.Score", as_json: bool) -> None:
    if as_json:
        print_json("score", score.to_dict())
        return
    parts = "".join(f", {name} {value:.4g}{score.unit}" for name, value in score.parts.items())
    terminal.print_line(
        f"{score.metric} {score.value:.4g}{score.unit}{parts}, {score.images} samples"
    )


def verify(
    model: options.Model,
    *,
    samples: options.Samples,
    threads: options.Threads = None,
    batch: options.Batch = 32,
    as_json: options.Json = False,
) -> None:
    """Compare the integer engine with ONNX Runtime on the same file, every output element.

    Exit code 1 where they differ. Images that differ where float32 is not exact (sums past 2^24,
    scales that are no powers of two) are compared with exact integers instead, and each operator
    with ONNX Runtime's."""
    with terminal.progress_bars() as progress:
        result = sub8.verify(
            model,
            samples.source(),
            **samples.selected(),
            threads=threads,
            batch=batch,
            progress=progress,
        )
    if as_json:
        print_json("verify", result.to_dict())
    else:
        terminal.print_line(
            f"{result.mismatches} mismatches in {result.elements} elements of {result.images} "
            f"images ({result.beyond_exact_float} beyond exact float32)"
        )
        if result.beyond_exact_float:
            terminal.print_line(
                "beyond exact float32: equal to exact integers is asked for, and each operator "
                "within one step of ONNX Runtime on the same 8-bit inputs (largest difference: "
                f"{result.largest_step})"
            )
        if result.wrong_operators:
            terminal.print_line(
                f"operators more than one step away: {', '.join(result.wrong_operators)}"
            )
    if result.mismatches:
        raise typer.Exit(1)


# With examples of their use.
COMMANDS = {
    evaluate: (
        "sub8 evaluate resnet50-t4.onnx imagenet/val --images 1000 --threads 2",
        "sub8 evaluate yolo.onnx val2017/ --metric map50 --labels instances_val2017.json",
    ),
    verify: ("sub8 verify resnet50-t4.onnx photos/",),
}
