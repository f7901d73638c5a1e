"""Commands of the study: sweep, report, compare."""

from typing import TYPE_CHECKING, Annotated

import typer

from sub8.cli import options, terminal
from sub8.cli.json_output import print_json

if TYPE_CHECKING:
    from sub8.verbs.inspect import Inspection


def sweep(
    model: options.FloatModel,
    data: Annotated[str, typer.Option("--data", metavar="TEST", help="Labelled test images.")],
    calibration: Annotated[
        str, typer.Option("--calibration", "-c", metavar="DATA", help="Sample images.")
    ],
    output: Annotated[
        str, typer.Option("--output", "-o", metavar="FOLDER", help="The study's folder.")
    ],
    cluster: Annotated[
        str, typer.Option(metavar="N,...|all", help="Cluster sizes.")
    ] = "1,2,4,8,16,32,64,all",
    weights: Annotated[
        str, typer.Option(metavar="KIND,...", help="Precisions.")
    ] = "ternary,int4,int8",
    method: Annotated[
        str, typer.Option(metavar="SOLVER,...", help="How layers are solved.")
    ] = "hessian",
    images: options.Images = None,
    calibration_images: Annotated[
        str | None,
        typer.Option(
            "--calibration-images",
            metavar="K|START:END",
            help="Only these samples. Default: at most 300, evenly spread.",
        ),
    ] = None,
    threads: Annotated[
        int | None, typer.Option(metavar="T", help="Threads of the timed runs.")
    ] = None,
    jobs: Annotated[int | None, typer.Option(metavar="J", help="Processes side by side.")] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Measure on a Ray cluster: its address, or auto."),
    ] = None,
    preprocess: options.PreprocessText = None,
    force: Annotated[
        bool, typer.Option("--force", help="Write also into a folder with files of others.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Measure accuracy, size, work and time at many settings; finished points are kept, so it can
    go on later.
    """
    from sub8.study.sweep import settings, shown
    from sub8.study.sweep import sweep as run_sweep

    chosen = settings(weights.split(","), cluster.split(","), method.split(","))  # type: ignore[arg-type]  # checked there
    with terminal.progress_bars() as progress:
        study = run_sweep(
            model,
            data,
            calibration,
            chosen,
            output,
            images=images,
            calibration_images=calibration_images,
            threads=threads,
            jobs=jobs,
            ray=ray,
            preprocess=options.preprocess_from(preprocess),
            overwrite=force,
            progress=progress,
        )
    if as_json:
        print_json("sweep", study.to_dict())
        return
    terminal.print_table(
        ["setting", "top-1|", "bits|", "size|", "latency|", "mismatches|"],
        [
            [
                point.setting.label,
                f"{point.top1:.2f} ± {point.top1_margin:.2f} %",
                f"{point.mean_bits:.2f}",
                terminal.megabytes(point.bytes),
                terminal.milliseconds(point.latency["sub8"] if point.latency else None),
                str(point.mismatches),
            ]
            for point in study.points
        ],
    )
    for baseline in study.baselines:
        terminal.print_line(
            f"{shown(baseline.name)}: top-1 {baseline.top1:.2f} %, "
            f"{terminal.megabytes(baseline.bytes)}"
        )


def report(
    folder: Annotated[
        str, typer.Argument(metavar="STUDY", help="A study's folder.", show_default=False)
    ],
    max_drop: Annotated[
        float, typer.Option("--max-drop", metavar="POINTS", help="Top-1 the chosen point may lose.")
    ] = 1.0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace also a report.html that sub8 did not write.")
    ] = False,
    as_json: options.Json = False,
) -> None:
    """Write report.html, one page that works offline, and the charts as PNG and SVG."""
    from sub8.study.report import report as write_report

    written = write_report(folder, max_drop=max_drop, overwrite=force)
    if as_json:
        print_json(
            "report",
            {"page": written.page, "pictures": list(written.pictures), "chosen": written.chosen},
        )
        return
    terminal.print_line(f"{written.page}; chosen: {written.chosen}")


def compare(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL.onnx...", help="Two models or more.", show_default=False),
    ],
    as_json: options.Json = False,
) -> None:
    """Show models side by side, layer by layer and in all."""
    from sub8.study.compare import compare as compare_models

    comparison = compare_models(models)
    if as_json:
        print_json("compare", comparison.to_dict())
        return
    rows = []
    for name, layers in comparison.layers.items():
        cells = [
            "-"
            if layer is None
            else (
                f"{layer.kind} N={layer.cluster or '-'}, {terminal.per_cent(layer.replaced)},"
                f" {layer.bytes} B"
            )
            for layer in layers
        ]
        rows.append([name, *cells])
    totals = comparison.totals()
    rows.append(["replaced in all", *(terminal.per_cent(total["replaced"]) for total in totals)])
    rows.append(
        ["bytes of weights", *(terminal.megabytes(int(total["bytes"])) for total in totals)]
    )
    rows.append(["less work than fp32", *(f"{total['potential']:.1f}x" for total in totals)])
    terminal.print_table(["layer", *comparison.names], rows)


def print_cost(inspection: "Inspection", as_json: bool) -> None:
    """The answer of ``inspect --cost``."""
    from sub8.study.cost import cost

    counted = cost(inspection)
    if as_json:
        print_json("cost", counted.to_dict())
        return
    columns = ("layer", "products|", "scalings|", "16-bit sums|", "32-bit sums|", "bytes|", "work|")
    terminal.print_table(
        columns,
        [
            [
                layer.name,
                *(
                    f"{number:,}"
                    for number in (
                        layer.multiplications,
                        layer.scalings,
                        layer.narrow_additions,
                        layer.wide_additions,
                        layer.bytes_moved,
                        layer.work,
                    )
                ),
            ]
            for layer in counted.layers
        ],
    )
    terminal.print_line(
        f"{counted.potential:.1f}x less arithmetic and {counted.traffic:.1f}x fewer bytes than "
        "float32 (work in 8-bit additions; see docs/cost.md)"
    )


# With examples of their use.
COMMANDS = {
    sweep: (
        "sub8 sweep resnet20.onnx --data test.parquet --calibration train.parquet --cluster"
        " 4,64 --weights ternary -o study/",
    ),
    report: ("sub8 report study/",),
    compare: ("sub8 compare resnet50-t4.onnx resnet50-t64.onnx",),
}
