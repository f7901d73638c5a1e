"""Commands that run a model on data: evaluate, verify, run."""

from typing import Annotated

import typer

import sub8
from sub8.cli import options, terminal
from sub8.cli.json_output import print_json


def evaluate(
    model: options.Model,
    *,
    samples: options.Samples,
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
    """Measure top-1 and top-5 accuracy in per cent."""
    with terminal.progress_bars() as progress:
        result = sub8.evaluate(
            model,
            samples.source(),
            **samples.selected(),
            threads=threads,
            runtime=runtime,  # type: ignore[arg-type]  # checked there, with one line for the user
            batch=batch,
            progress=progress,
        )
    if as_json:
        print_json("evaluate", result.to_dict())
    else:
        few = "; few images: small differences mean nothing" if result.few else ""
        terminal.print_line(
            f"top-1 {result.top1:.2f} ± {result.top1_margin:.2f} %, top-5 {result.top5:.2f} ±"
            f" {result.top5_margin:.2f} %, {result.images} images (±: 95 % confidence{few})"
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


def run(
    model: options.Model,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Image files or other data.", show_default=False),
    ],
    preprocess: options.PreprocessText = None,
    threads: options.Threads = None,
    as_json: options.Json = False,
) -> None:
    """Print the five likeliest labels of every image."""
    from sub8.verbs.classify import classify

    results = [
        prediction
        for source in images
        for prediction in classify(
            model, source, preprocess=options.preprocess_from(preprocess), threads=threads
        )
    ]
    if as_json:
        print_json("run", {"predictions": [prediction.to_dict() for prediction in results]})
        return
    for prediction in results:
        terminal.print_line(prediction.name)
        for score in prediction.top:
            terminal.print_line(
                f"  {score.label:<30} {score.logit:10.3f}  {terminal.per_cent(score.probability)}"
            )


# With examples of their use.
COMMANDS = {
    evaluate: ("sub8 evaluate resnet50-t4.onnx imagenet/val --images 1000 --threads 2",),
    verify: ("sub8 verify resnet50-t4.onnx photos/",),
    run: ("sub8 run resnet50-t4.onnx cat.jpg dog.jpg",),
}
