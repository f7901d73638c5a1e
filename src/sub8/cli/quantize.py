"""The command quantize."""

import json
import shlex
import warnings
from typing import Annotated, Any

import typer

import sub8
from sub8.cli import mixed as show
from sub8.cli import options, terminal
from sub8.cli.export import check_target, print_export
from sub8.cli.inspect import print_islands
from sub8.cli.json_output import print_json
from sub8.cli.recipe_options import BudgetOptions, RecipeOptions
from sub8.errors import Sub8Error, Sub8Warning, UnsupportedModelError


def quantize(
    model: options.Model,
    output: options.OutputModel,
    *,
    calibration: Annotated[
        str | None,
        typer.Option(
            "--calibration", "-c", metavar="DATA", help="Sample images, labels not needed."
        ),
    ] = None,
    inputs: options.Inputs = None,
    recipe: RecipeOptions,
    budget: BudgetOptions,
    integer_only: Annotated[
        bool, typer.Option("--integer-only", help="Refuse models with nodes that must stay float.")
    ] = False,
    target: options.TargetName = "onnx",
    selection: options.Selection,
    as_json: options.Json = False,
) -> None:
    """Quantise a float model and write a standard ONNX Q/DQ file, or another form of it."""
    from sub8.graph.read import model_bytes
    from sub8.ptq.samples import HELD_OUT

    chosen_budget = budget.budget(recipe)
    chosen_recipe = recipe.recipe()
    path = output.path(not_over=model)
    check_target(target)
    source = options.data_source(calibration, inputs, "--calibration DATA")
    if integer_only:
        _refuse_islands(model)
    with terminal.collected_warnings() as told, terminal.progress_bars() as progress:
        quantised = sub8.quantize(
            model,
            source,
            chosen_recipe,
            budget=chosen_budget,
            **selection.selected(),
            hold_out=HELD_OUT,
            progress=progress,
        )
        report = _summary(quantised)  # before the file is there: nothing may fail behind it
        quality = _quality(quantised)
        exported = None
        if target == "onnx":
            quantised.save(path, overwrite=output.force)
        else:
            exported = sub8.export(
                quantised,
                target,
                path,
                data=calibration,
                **selection.selected(),
                overwrite=output.force,
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
    print_islands(report)
    used = result["calibration"]
    calls = f"{used['calls']} of {used['offered']} calls with " if "calls" in used else ""
    of = "" if calls else f" of {used['offered']}"
    terminal.print_line(f"calibrated on {calls}{used['images']}{of} images")
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
    """How many images (or calls) were offered, and calibrated on."""
    recorded = json.loads(quantised.model.metadata_props["sub8.calibration"])
    return {key: recorded[key] for key in ("images", "calls", "offered") if key in recorded}


def _refuse_islands(model: str) -> None:
    from sub8.verbs.inspect import float_islands

    islands = float_islands(model)
    if islands:
        nodes = ", ".join(node for island in islands for node in island)
        raise UnsupportedModelError(
            f"{model}: no integer form for node {nodes}; replace it, or leave --integer-only out"
        )


# With examples of their use.
COMMANDS = {
    quantize: (
        "sub8 quantize resnet50.onnx --calibration photos/ --weights ternary --cluster 4 -o"
        " resnet50-t4.onnx",
        "sub8 quantize resnet50.onnx --calibration photos/ --max-drop 1.0 -o resnet50-mixed.onnx",
    ),
}
