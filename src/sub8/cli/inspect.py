"""The command inspect."""

from typing import Annotated, Any

import typer

import sub8
from sub8.cli import mixed as show
from sub8.cli import options, terminal
from sub8.cli.json_output import print_json
from sub8.cli.recipe_options import WeightOptions
from sub8.errors import InputError


def inspect(
    model: options.Model,
    *,
    weights: WeightOptions,
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
    sensitivity: Annotated[
        str | None,
        typer.Option(
            metavar="DATA",
            help="Measure what every layer adds to the error instead, on samples; needs --float.",
        ),
    ] = None,
    float_model: Annotated[
        str | None,
        typer.Option("--float", metavar="MODEL.onnx", help="What the model was quantised from."),
    ] = None,
    shape: options.Shape = None,
    force: options.Force = False,
    as_json: options.Json = False,
) -> None:
    """Show every layer: shape, bits, cluster, exponents, replaced multiplications, bytes.

    A float model is counted as the options would quantise it."""
    if sensitivity is not None:
        _print_budget(model, float_model, sensitivity, as_json)
        return
    planned = None if weights == WeightOptions() else weights.recipe()
    report = sub8.inspect(model, recipe=planned, input_shape=options.shapes_from(shape))
    if plot is not None:
        if report.choice is None:
            raise InputError(
                f"{model}: its weights were not chosen to a budget (sub8 quantize --max-drop "
                "POINTS)"
            )
        drawn = options.output_path(plot, force=force, not_over=model)
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
    print_islands(report)


def _print_budget(model: str, float_model: str | None, data: str, as_json: bool) -> None:
    if float_model is None:
        raise InputError("--sensitivity compares with the float model: give --float MODEL.onnx")
    with terminal.progress_bars() as progress:
        budget = sub8.error_budget(model, float_model, data, progress=progress)
    if as_json:
        print_json("sensitivity", budget.to_dict())
        return

    def shown(error: float | None) -> str:
        return "-" if error is None else f"{100 * error:.4f} %"

    terminal.print_table(
        ["layer", "error of weights|", "of shifted means|", "error of activations|", "of all|"],
        [
            [
                share.name,
                shown(share.weights),
                shown(share.statistics),
                shown(share.activation),
                terminal.per_cent(budget.part(share)),
            ]
            for share in budget.shares
        ],
    )
    largest = budget.largest()
    part = sum(budget.part(share) for share in largest)
    terminal.print_line(
        f"{', '.join(share.name for share in largest)} bring {terminal.per_cent(part)} of the "
        f"error. Errors are parts of the outputs' variance, each layer quantised alone; together "
        f"{100 * budget.sum:.3f} %, the whole network {100 * budget.total:.3f} % "
        f"({budget.images} samples)"
    )


def print_islands(report: "sub8.Inspection") -> None:
    """Name the nodes of every float island."""
    for nodes, cost in zip(report.islands, report.island_costs, strict=True):
        taken = ""
        if cost.milliseconds is not None and cost.part is not None:
            taken = f", {cost.milliseconds:.2f} ms, {terminal.per_cent(cost.part)} of a run"
        terminal.print_line(
            f"float island, run by ONNX Runtime{taken}: {', '.join(nodes)} ({cost.reason})"
        )


# With examples of their use.
COMMANDS = {
    inspect: (
        "sub8 inspect resnet50-t4.onnx",
        "sub8 inspect resnet50.onnx --weights ternary --cluster 64",
        "sub8 inspect resnet50-t4.onnx --sensitivity photos/ --float resnet50.onnx",
    ),
}
