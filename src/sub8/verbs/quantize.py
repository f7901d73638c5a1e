"""The verb ``quantize``: a float network and sample inputs to the standard Q/DQ artifact."""

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray

import sub8
from sub8.data.datasets import Dataset, DataSource, ImageRange, load_batches, open_dataset
from sub8.data.preprocess import Preprocess
from sub8.errors import InputError, UnsupportedModelError
from sub8.graph.groups import Group, find_groups
from sub8.graph.normalise import normalise
from sub8.graph.qdq import write_qdq
from sub8.model_file import ModelFile
from sub8.numerics.dfp import Format
from sub8.progress import Progress
from sub8.ptq.calibrate import calibrate
from sub8.ptq.calibration_pass import Walked, walk
from sub8.ptq.quantiser import LayerQuantiser
from sub8.quantized_model import LayerSummary, QuantizedModel
from sub8.recipe import Recipe

if TYPE_CHECKING:
    import torch

    from sub8.mixed.budget import Budget

Source: TypeAlias = "str | os.PathLike[str] | ir.Model | torch.nn.Module"
Calibration: TypeAlias = "DataSource | Iterable[NDArray[Any]]"

# Input elements per batch: small enough that one batch's activations of a large network fit beside the cache.
BATCH_ELEMENTS = 1 << 20
LARGEST_BATCH = 64


def quantize(
    model: Source,
    calibration: Calibration,
    recipe: Recipe | None = None,
    *,
    budget: "Budget | None" = None,
    preprocess: Preprocess | None = None,
    images: ImageRange = None,
    threads: int | None = None,
    progress: Progress | None = None,
) -> QuantizedModel:
    """Quantise a float network without training.

    model: an ONNX path, an ``ir.Model`` or a ``torch.nn.Module``; one image-like input.
    calibration: what ``open_dataset`` takes (a path, uint8 images, float32 inputs ``[B, ...]``), or an
        iterable of float32 batches. Labels are not needed. images: the first K, or ``"START:END"``.
    recipe: default ``Recipe()``: ternary weights in clusters of 4, first, last and depthwise layers 8-bit.
    budget: choose every layer's weights from measured sensitivities so that ``MaxDrop(points)``,
        ``MeanBits(bits)`` or ``MaxLatencyRatio(ratio)`` is kept; of the recipe's weights only ``overrides`` then
        count. What was chosen is in the result's metadata ``sub8.choice``.
    preprocess: for uint8 images; default, the model's own metadata. It is stored in the result.
    Raises InputError (unusable model, no calibration images, NaN; the method "reconstruct" without PyTorch or with
    dynamic exponents) and UnsupportedModelError.
    """
    recipe = recipe or Recipe()
    if recipe.method == "reconstruct":
        _check_reconstructable(recipe)
    source, inputs = open_source(model, calibration, preprocess, images)
    batches = calibration_batches(inputs, source, recipe)
    count = sum(len(batch) for batch in batches)
    graph = normalise(source.model)
    groups = find_groups(graph)
    if not any(group.kind == "layer" for group in groups):
        raise UnsupportedModelError(
            f"{source.name}: holds no Conv, Gemm or MatMul with constant weights"
        )
    formats = calibrate(
        graph, groups, batches, count, recipe.activations, threads=threads, progress=progress
    )
    choice = None
    if budget is not None:
        from sub8.mixed.choose import Chooser

        chooser = Chooser(graph, groups, formats, batches, recipe, threads, progress)
        choice = chooser.choose(budget)
        recipe = choice.recipe
    walked = solve_layers(
        graph, groups, formats, batches, recipe, threads=threads, progress=progress
    )
    metadata = {
        "sub8.version": sub8.__version__,
        "sub8.recipe": json.dumps(recipe.to_dict()),
        "sub8.calibration": json.dumps(calibration_summary(calibration, count, walked)),
        "sub8.source_sha256": source_sha256(source),
    }
    if choice is not None:
        metadata["sub8.choice"] = json.dumps(choice.to_dict())
    if preprocess is not None:
        metadata["preprocess"] = preprocess.to_metadata()
    return QuantizedModel(
        write_qdq(graph, walked.layers, formats, metadata), layer_summaries(walked)
    )


def solve_layers(
    graph: ir.Model,
    groups: Sequence[Group],
    formats: Mapping[str, Format],
    batches: Sequence[NDArray[np.float32]],
    recipe: Recipe,
    *,
    threads: int | None = None,
    progress: Progress | None = None,
) -> Walked:
    """Every layer's integers, by the recipe's method; parameters as for ``walk``."""
    if recipe.method != "reconstruct":
        quantiser = LayerQuantiser(recipe)
        return walk(graph, groups, formats, batches, quantiser, threads=threads, progress=progress)
    from sub8.reconstruct.network import reconstruct

    return reconstruct(graph, groups, formats, batches, recipe, threads=threads, progress=progress)


def _check_reconstructable(recipe: Recipe) -> None:
    if recipe.activations.exponent != "static":
        raise InputError(
            "method 'reconstruct' needs static activation exponents; use method 'hessian' with dynamic ones"
        )
    if importlib.util.find_spec("torch") is None:
        raise InputError(
            "PyTorch is needed for method 'reconstruct': pip install sub8[torch], or use method 'hessian'"
        )


def open_source(
    model: Source, calibration: Calibration, preprocess: Preprocess | None, images: ImageRange
) -> tuple[ModelFile, NDArray[np.float32]]:
    """The float model, and all calibration inputs as one float32 array ``[B, ...]``."""
    if isinstance(model, (str, os.PathLike, ir.Model)):
        source = ModelFile.open(model)
        _reject_quantised(source)
        return source, _inputs(calibration, preprocess or source.preprocess, images, source.labels)
    if not hasattr(model, "state_dict"):
        raise InputError(
            f"a model must be a path, an ir.Model or a torch.nn.Module, not {type(model)}"
        )
    from sub8.graph.export import export_module

    inputs = _inputs(calibration, preprocess, images, None)
    return ModelFile.open(export_module(model, inputs[:1])), inputs


def _reject_quantised(source: ModelFile) -> None:
    if source.quantised:
        raise InputError(f"{source.name}: already quantised; give the float model")


def _inputs(
    calibration: Calibration,
    preprocess: Preprocess | None,
    images: ImageRange,
    labels: Sequence[str] | None,
) -> NDArray[np.float32]:
    if isinstance(calibration, (str, os.PathLike, np.ndarray, Dataset)):
        if isinstance(calibration, np.ndarray) and len(np.atleast_1d(calibration)) == 0:
            raise InputError("calibration: holds no images")
        dataset = open_dataset(calibration, labels)
        batches = [x for x, _ in load_batches(dataset, preprocess, images)]
    else:
        if not isinstance(calibration, Iterable):
            raise InputError(
                f"calibration must be a path, an array or batches of arrays, not {type(calibration).__name__}"
            )
        arrays = [np.asarray(batch) for batch in calibration]
        if not arrays:
            raise InputError("calibration: holds no images")
        if len({(array.shape[1:], array.dtype) for array in arrays}) != 1:
            raise InputError("calibration: its batches differ in shape or type")
        dataset = open_dataset(np.concatenate(arrays), labels)
        batches = [x for x, _ in load_batches(dataset, preprocess, images)]
    return np.concatenate(batches)


def calibration_batches(
    inputs: NDArray[np.float32], source: ModelFile, recipe: Recipe
) -> list[NDArray[np.float32]]:
    """Batches of the size that the model declares, else of one that fits memory."""
    if len(inputs) == 1 and recipe.correct_statistics:
        raise InputError(
            "calibration: one image does not tell the channels' statistics; give at least 2, better 100,"
            " or set correct_statistics = false"
        )
    declared = source.input.shape[0] if source.input.shape is not None else None
    if isinstance(declared, int):
        size = declared
        if len(inputs) < size:
            raise InputError(
                f"calibration: {len(inputs)} images, but {source.name} takes batches of {size} only"
            )
        inputs = inputs[: len(inputs) // size * size]
    else:
        size = min(LARGEST_BATCH, max(1, BATCH_ELEMENTS // inputs[0].size))
    batches = [inputs[start : start + size] for start in range(0, len(inputs), size)]
    source.check_input(batches[0])
    return batches


def calibration_summary(calibration: Calibration, images: int, walked: Walked) -> dict[str, Any]:
    name = Path(calibration).name if isinstance(calibration, (str, os.PathLike)) else "array"
    noise = {layer: round(value, 2) for layer, value in walked.signal_to_noise.items()}
    return {"source": name, "images": images, "signal_to_noise": noise}


def layer_summaries(walked: Walked) -> tuple[LayerSummary, ...]:
    return tuple(
        LayerSummary(
            name,
            "+".join(term.kind for term in layer.terms),
            layer.terms[0].cluster,
            walked.signal_to_noise[name],
        )
        for name, layer in walked.layers.items()
    )


def source_sha256(source: ModelFile) -> str:
    data = source.path.read_bytes() if source.path is not None else source.serialized()
    return hashlib.sha256(data).hexdigest()
