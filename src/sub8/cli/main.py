"""The command line: one thin command per public verb. Results go to stdout, everything else to
stderr.
"""

import errno
import io
import json
import os
import re
import shlex
import sys
import warnings
from contextlib import suppress
from typing import Annotated, Any

import typer

import sub8
from sub8.cli import mixed as show
from sub8.cli import signals, terminal
from sub8.cli.doctor import register as register_doctor
from sub8.cli.export import check_target, print_export
from sub8.cli.export import register as register_export
from sub8.cli.finetune import register as register_training
from sub8.cli.json_output import print_json
from sub8.cli.options import (
    Batch,
    Cluster,
    Force,
    Images,
    Inputs,
    Json,
    OutputModel,
    PreprocessText,
    RecipeFile,
    TargetName,
    Threads,
    Weights,
    data_source,
    example,
    output_path,
    preprocess_from,
)
from sub8.cli.record import record_app
from sub8.cli.study import register as register_study
from sub8.cli.switches import with_switches
from sub8.errors import (
    InputError,
    MissingPreprocessError,
    Sub8Error,
    Sub8Warning,
    UnsupportedModelError,
)

# Of wrong options and arguments. Typer gives this class no public name, only some that derive from
# it.
_WRONG_USE: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")

_NO_READER = 141  # as a shell says it of a process ended by SIGPIPE
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF}

app = typer.Typer(
    name="sub8",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Ternary, 4-bit and 8-bit networks on a CPU: quantise without training, run in integers,"
    " prove it exact.",
)

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


def _version(show: bool) -> None:
    if show:
        terminal.print_line(f"sub8 {sub8.__version__}")
        raise typer.Exit()


@app.callback()
def _sub8(
    version: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None: ...


@app.command(
    epilog=example(
        "sub8 quantize resnet50.onnx --calibration photos/ --weights ternary --cluster 4 -o "
        "resnet50-t4.onnx",
        "sub8 quantize resnet50.onnx --calibration photos/ --max-drop 1.0 -o resnet50-mixed.onnx",
    )
)
def quantize(
    model: Model,
    output: OutputModel,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration", "-c", metavar="DATA", help="Sample images, labels not needed."
        ),
    ] = None,
    inputs: Inputs = None,
    weights: Weights = None,
    cluster: Cluster = None,
    method: Annotated[
        str | None,
        typer.Option(
            metavar="SOLVER",
            help="hessian (default), optimal, paper, reconstruct (best, slowest; needs PyTorch), or"
            " auto: the best that --minutes and what is installed allow.",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(metavar="S", help="Of reconstruct and auto, per block. Default: 600."),
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(metavar="M", help="Of auto. Default: 10. Ctrl-C, too, keeps the best so far."),
    ] = None,
    exponent: Annotated[
        str | None,
        typer.Option(metavar="WHEN", help="Activation exponents: static (default) or dynamic."),
    ] = None,
    calibration_method: Annotated[
        str | None,
        typer.Option(metavar="RULE", help="Static exponents by mse (default), max or percentile."),
    ] = None,
    percentile: Annotated[
        float | None,
        typer.Option(metavar="P", help="For the rule percentile, above 50 and up to 100."),
    ] = None,
    recipe: RecipeFile = None,
    max_drop: Annotated[
        float | None,
        typer.Option(
            "--max-drop",
            metavar="POINTS",
            help="Choose each layer's weights: fewest bits that lose at most so much top-1.",
        ),
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="What --max-drop is measured in: top1 (default), snr (dB), cosine (per cent), or"
            " FILE.py:function of both networks' outputs.",
        ),
    ] = None,
    mean_bits: Annotated[
        float | None,
        typer.Option(
            "--mean-bits", metavar="B", help="Choose each layer's weights: so many bits on average."
        ),
    ] = None,
    max_latency_ratio: Annotated[
        float | None,
        typer.Option(
            "--max-latency-ratio",
            metavar="R",
            help="Choose each layer's weights: at most R times the latency of int8.",
        ),
    ] = None,
    integer_only: Annotated[
        bool, typer.Option("--integer-only", help="Refuse models with nodes that must stay float.")
    ] = False,
    target: TargetName = "onnx",
    images: Images = None,
    preprocess: PreprocessText = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Quantise a float model and write a standard ONNX Q/DQ file, or another form of it."""
    from sub8.cli.recipe_options import budget_from_options, recipe_from_options
    from sub8.graph.read import model_bytes
    from sub8.ptq.samples import HELD_OUT

    budget = budget_from_options(
        max_drop=max_drop,
        metric=metric,
        mean_bits=mean_bits,
        max_latency_ratio=max_latency_ratio,
        weights=weights,
        cluster=cluster,
    )

    chosen = recipe_from_options(
        recipe,
        weights=weights,
        cluster=cluster,
        method=method,
        steps=steps,
        minutes=minutes,
        exponent=exponent,
        calibration=calibration_method,
        percentile=percentile,
    )
    path = output_path(output, force=force, not_over=model)
    check_target(target)
    source = data_source(calibration, inputs, "--calibration DATA")
    if integer_only:
        _refuse_islands(model)
    with terminal.collected_warnings() as told, terminal.progress_bars() as progress:
        quantised = sub8.quantize(
            model,
            source,
            chosen,
            budget=budget,
            preprocess=preprocess_from(preprocess),
            images=images,
            hold_out=HELD_OUT,
            progress=progress,
        )
        report = _summary(quantised)  # before the file is there: nothing may fail behind it
        quality = _quality(quantised)
        exported = None
        if target == "onnx":
            quantised.save(path, overwrite=force)
        else:
            exported = sub8.export(
                quantised,
                target,
                path,
                data=calibration,
                images=images,
                preprocess=preprocess_from(preprocess),
                overwrite=force,
            )
    for message in told:
        warnings.warn(message, Sub8Warning, stacklevel=2)
    size = model_bytes(path) if exported is None else exported.bytes
    source_size = model_bytes(model)
    result: dict[str, Any] = {
        "output": str(path),
        "bytes": size,
        "source_bytes": source_size,
        "quality": None if quality is None else quality.to_dict(),
        "calibration": _calibration(quantised),
        "warnings": told,
    }
    if report is None:
        if as_json:
            print_json("quantize", result)
        else:
            terminal.print_line(f"{path}: {terminal.megabytes(size)}")
        return
    if exported is not None:
        result["export"] = exported.to_dict()
    result |= {
        "layers": len(report.layers),
        "replaced": report.replaced,
        "islands": [list(nodes) for nodes in report.islands],
    }
    if report.choice is not None:
        result["choice"] = report.choice
    if as_json:
        print_json("quantize", result)
        return
    terminal.print_line(
        f"{path}: {terminal.megabytes(size)} (source {terminal.megabytes(source_size)}),"
        f" {len(report.layers)} layers,"
        f" {terminal.per_cent(report.replaced)} of multiplications replaced"
    )
    if report.choice is not None:
        terminal.print_line(show.summary(report.choice))
    if exported is not None:
        print_export(exported)
    _print_islands(report)
    used = result["calibration"]
    terminal.print_line(f"calibrated on {used['images']} of {used['offered']} images")
    if quality is not None:
        terminal.print_line(str(quality))
    if exported is None:
        file = shlex.quote(str(path))
        given = [shlex.quote(calibration)] if calibration is not None else []
        given += [f"--input {shlex.quote(one)}" for one in inputs or ()]
        terminal.print_line(
            f"next: sub8 evaluate {file} LABELLED_IMAGES (accuracy), sub8 verify {file}"
            f" {' '.join(given)} (exactness)"
        )


@app.command(
    epilog=example("sub8 evaluate resnet50-t4.onnx imagenet/val --images 1000 --threads 2")
)
def evaluate(
    model: Model,
    data: Data = None,
    inputs: Inputs = None,
    images: Images = None,
    preprocess: PreprocessText = None,
    threads: Threads = None,
    runtime: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="sub8 or onnxruntime. Default: sub8 for quantised models."
        ),
    ] = None,
    batch: Batch = 32,
    as_json: Json = False,
) -> None:
    """Measure top-1 and top-5 accuracy in per cent."""
    with terminal.progress_bars() as progress:
        result = sub8.evaluate(
            model,
            data_source(data, inputs, "DATA"),
            images=images,
            preprocess=preprocess_from(preprocess),
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


@app.command(epilog=example("sub8 verify resnet50-t4.onnx photos/"))
def verify(
    model: Model,
    data: Data = None,
    inputs: Inputs = None,
    images: Images = None,
    preprocess: PreprocessText = None,
    threads: Threads = None,
    batch: Batch = 32,
    as_json: Json = False,
) -> None:
    """Compare the integer engine with ONNX Runtime on the same file, every output element.

    Exit code 1 where they differ. Images that differ where float32 is not exact (sums past 2^24,
    scales that are no powers of two) are compared with exact integers instead, and each operator
    with ONNX Runtime's."""
    with terminal.progress_bars() as progress:
        result = sub8.verify(
            model,
            data_source(data, inputs, "DATA"),
            images=images,
            preprocess=preprocess_from(preprocess),
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


@app.command(epilog=example("sub8 run resnet50-t4.onnx cat.jpg dog.jpg"))
def run(
    model: Model,
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGE...", help="Image files or other data.", show_default=False),
    ],
    preprocess: PreprocessText = None,
    threads: Threads = None,
    as_json: Json = False,
) -> None:
    """Print the five likeliest labels of every image."""
    from sub8.verbs.classify import classify

    results = [
        prediction
        for source in images
        for prediction in classify(
            model, source, preprocess=preprocess_from(preprocess), threads=threads
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


@app.command(
    epilog=example(
        "sub8 inspect resnet50-t4.onnx", "sub8 inspect resnet50.onnx --weights ternary --cluster 64"
    )
)
def inspect(
    model: Model,
    weights: Weights = None,
    cluster: Cluster = None,
    recipe: RecipeFile = None,
    plot: Annotated[
        str | None,
        typer.Option(
            metavar="FILE.svg",
            help="Draw what a budget's weights were chosen from (.svg, .png or .html).",
        ),
    ] = None,
    cost: Annotated[
        bool,
        typer.Option("--cost", help="Count operations and bytes moved instead, beside float32."),
    ] = False,
    shape: Shape = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Show every layer: shape, bits, cluster, exponents, replaced multiplications, bytes.

    A float model is counted as the options would quantise it."""
    from sub8.cli.recipe_options import recipe_from_options

    planned = None
    if (weights, cluster, recipe) != (None, None, None):
        planned = recipe_from_options(recipe, weights=weights, cluster=cluster)
    report = sub8.inspect(model, recipe=planned, input_shape=_shapes(shape))
    if plot is not None:
        if report.choice is None:
            raise InputError(
                f"{model}: its weights were not chosen to a budget (sub8 quantize --max-drop "
                "POINTS)"
            )
        drawn = output_path(plot, force=force, not_over=model)
        show.plot(report.choice, drawn, overwrite=force)
    if cost:
        from sub8.cli.study import print_cost

        print_cost(report, as_json)
        return
    if as_json:
        print_json("inspect", report.to_dict())
        return

    def shown(value: Any) -> str:
        return "-" if value is None else str(value)

    terminal.print_table(
        [
            "layer",
            "shape",
            "weights",
            "N|",
            "e in|",
            "e w|",
            "e out|",
            "MMAC|",
            "replaced|",
            "bytes|",
            "SNR dB|",
        ],
        [
            [
                layer.name,
                "x".join(map(str, layer.shape)),
                layer.kind,
                shown(layer.cluster),
                shown(layer.input_exponent),
                shown(layer.weight_exponent),
                shown(layer.output_exponent),
                f"{layer.macs / 1e6:.2f}",
                terminal.per_cent(layer.replaced),
                str(layer.bytes),
                "-" if layer.signal_to_noise is None else f"{layer.signal_to_noise:.1f}",
            ]
            for layer in report.layers
        ],
    )
    terminal.print_line(
        f"{len(report.layers)} layers, {report.macs / 1e6:.1f} million multiply-accumulates an "
        f"image, {terminal.per_cent(report.replaced)} of multiplications replaced, "
        f"{terminal.megabytes(report.bytes)} of weights"
    )
    if report.replaced_as_published is not None:
        terminal.print_line(
            f"as the paper counts, every layer but the first ternary:"
            f" {terminal.per_cent(report.replaced_as_published)} of multiplications replaced"
        )
    if report.choice is not None:
        terminal.print_table(
            show.LAYER_COLUMNS, show.layer_rows(report.choice), title="Choice of weights"
        )
        terminal.print_table(
            show.FRONT_COLUMNS, show.front_rows(report.choice), title="Front of bits and error"
        )
        terminal.print_line(show.summary(report.choice))
    _print_islands(report)


@app.command(epilog=example("sub8 benchmark resnet50-t4.onnx --threads 2 --profile"))
def benchmark(
    model: Model,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="FLOAT.onnx", help="Compare with this; default: the file's own float network."
        ),
    ] = None,
    threads: Threads = None,
    shape: Shape = None,
    batch: Annotated[int, typer.Option(metavar="B", help="Images per call.")] = 1,
    runs: Annotated[int, typer.Option(metavar="R", help="Timed runs of each runtime.")] = 30,
    profile: Annotated[bool, typer.Option("--profile", help="Also time every layer.")] = False,
    as_json: Json = False,
) -> None:
    """Time a model beside ONNX Runtime in float32, the runtimes taking turns; medians."""
    with terminal.progress_bars() as progress:
        result = sub8.benchmark(
            model,
            baseline=baseline,
            threads=threads,
            input_shape=_shapes(shape),
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


@app.command(epilog=example("sub8 quickstart --output quickstart/"))
def quickstart(
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER", help="Where the models are written.")
    ] = "quickstart",
    threads: Threads = None,
    force: Force = False,
    as_json: Json = False,
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
            " which calibration did not see (±: 95 %, for other photographs)"
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


@app.command(epilog=example("sub8 zoo resnet101 -o resnet101.onnx"))
def zoo(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME", help="Such as resnet50; a wrong name lists all.", show_default=False
        ),
    ],
    output: OutputModel,
    size: Annotated[
        int, typer.Option(metavar="PIXELS", help="Height and width of the input.")
    ] = 224,
    classes: Annotated[int, typer.Option(metavar="C", help="Classes of the last layer.")] = 1000,
    seed: Annotated[int, typer.Option(metavar="S", help="Of the random weights.")] = 0,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a known architecture with random weights: for counting, timing and file sizes."""
    from sub8.graph.write import write_model
    from sub8.zoo import build

    if size < 1 or classes < 1 or seed < 0:
        raise InputError(
            f"size ({size}) and classes ({classes}) must be at least 1, seed ({seed}) at least 0"
        )
    target = output_path(output, force=force)
    write_model(build(name, seed=seed, size=size, classes=classes), target, overwrite=force)
    result = {"output": str(target), "bytes": target.stat().st_size}
    if as_json:
        print_json("zoo", result)
    else:
        terminal.print_line(f"{target}: {terminal.megabytes(target.stat().st_size)}")


register_export(app)
register_doctor(app)
register_study(app)
register_training(app)
app.add_typer(record_app)


def _shapes(text: str | None) -> "tuple[int, ...] | dict[str, tuple[int, ...]] | None":
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


def _inputs_told(shapes: dict[str, tuple[int, ...]]) -> str:
    told = {name: "x".join(map(str, shape)) or "a number" for name, shape in shapes.items()}
    if len(told) == 1:
        return next(iter(told.values()))
    return ", ".join(f"{name} {shape}" for name, shape in told.items())


def _summary(quantised: "sub8.QuantizedModel") -> "sub8.Inspection | None":
    """What to tell of a written model; None where its layers cannot be counted, which is no fault
    of the file.
    """
    try:
        return sub8.inspect(quantised)
    except Sub8Error:
        return None


def _quality(quantised: "sub8.QuantizedModel") -> "sub8.Quality | None":
    """What quantisation changed; warns where that is much. None where the engine cannot run the
    file.
    """
    try:
        found = quantised.quality
    except Sub8Error:
        return None
    if found is not None and found.warning is not None:
        warnings.warn(found.warning, Sub8Warning, stacklevel=2)
    return found


def _calibration(quantised: "sub8.QuantizedModel") -> dict[str, Any]:
    """How many images were offered, calibrated on, and held out."""
    recorded = json.loads(quantised.model.metadata_props["sub8.calibration"])
    return {"images": recorded["images"], "offered": recorded["offered"]}


def _refuse_islands(model: str) -> None:
    from sub8.verbs.inspect import float_islands

    islands = float_islands(model)
    if islands:
        nodes = ", ".join(node for island in islands for node in island)
        raise UnsupportedModelError(
            f"{model}: no integer form for node {nodes}; replace it, or leave --integer-only out"
        )


def _print_islands(report: "sub8.Inspection") -> None:
    for nodes, cost in zip(report.islands, report.island_costs, strict=True):
        taken = ""
        if cost.milliseconds is not None and cost.part is not None:
            taken = f", {cost.milliseconds:.2f} ms, {terminal.per_cent(cost.part)} of a run"
        terminal.print_line(
            f"float island, run by ONNX Runtime{taken}: {', '.join(nodes)} ({cost.reason})"
        )


def main() -> None:
    """The command line; ``cli.start`` calls it and answers signals.

    Exit codes: 0, 1 (verify found differences), 2 (bad input), 141 (whoever read stdout has gone,
    as a shell gives it).
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by whoever started sub8
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115 - until the process ends
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # of characters that the terminal lacks
    with terminal.collected_warnings() as told:
        code = _run()
    if code in (0, 1):  # an error stands alone
        for message in told:
            terminal.print_warning(message)
    sys.exit(code)


def _run() -> int:
    streams = sys.stdout, sys.stderr
    try:
        terminal.set_verbosity(terminal.Verbosity.NORMAL)
        code = int(with_switches(app)(prog_name="sub8", standalone_mode=False) or 0)
        if code == signals.INTERRUPTED:  # Typer's answer to an interrupt
            raise KeyboardInterrupt
        with terminal.writing_stdout():
            sys.stdout.flush()  # what cannot be written is to be told
        return code
    except MissingPreprocessError as error:
        message = (
            f"{error.data}: the model does not say how images are prepared; give the preprocessing "
            "(--preprocess 'resize=256 size=224 scale=1/255 mean=0.485,0.456,0.406 "
            "std=0.229,0.224,0.225')"
        )
    except Sub8Error as error:
        message = str(error)
    except ImportError as error:  # a shared library or a package that the installation lacks
        message = f"{error} (sub8 doctor tells what is missing)"
    except MemoryError:
        message = "out of memory; use a smaller batch, fewer images or a smaller input"
    except (
        BrokenPipeError,
        SystemExit,
    ):  # of `sub8 ... | head`; the second is Typer's answer to the first
        sys.stdout, sys.stderr = streams
        _drop_stdout()
        return _NO_READER
    except OSError as error:
        message = str(error)
        _drop_stdout()
        if error.filename is None and error.errno in _UNWRITABLE:
            message = f"a file or standard output cannot be written: {error.strerror}"
    except terminal.StdoutError as error:
        message = f"standard output cannot be written: {error}"
        _drop_stdout()
    except typer.Abort:  # of a prompt
        raise KeyboardInterrupt from None
    except _WRONG_USE as error:
        if type(error).__name__ == "NoArgsIsHelpError":
            error.show()
            return 2
        context = getattr(error, "ctx", None)
        program = "sub8" if context is None else context.command_path
        message = f"{error.format_message()} ({program} --help)"
    except Exception as error:
        if os.environ.get("SUB8_TRACEBACK"):
            raise
        message = (
            f"unexpected {type(error).__name__}: {str(error)[:300]}; a fault of sub8: please"
            " report it with what SUB8_TRACEBACK=1 shows"
        )
    terminal.print_error(message)
    return 2


def _drop_stdout() -> None:
    """Where stdout cannot be written, drop the rest: the interpreter would complain at its exit."""
    try:
        sys.stdout.flush()
    except OSError:
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
